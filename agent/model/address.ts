/**
 * IP addresses and prefixes as canonical text. Text is the value type: equal addresses are equal strings, so they can
 * be keys and compare fast. The 16-byte form is made when something is written to the kernel.
 */
import ipaddr from 'ipaddr.js';
import { FairleadError } from './errors.ts';

export type Family = 4 | 6;

/** Canonical text: '10.0.0.1', 'fd00::1'. IPv4-mapped IPv6 is written as IPv4. */
export type Address = string;

/** Canonical text of a prefix, host bits zero: '10.1.0.0/24', 'fd00::/64'. */
export type Cidr = string;

/**
 * Parses an address the way Kubernetes does for old objects: leading zeros are decimal ('010.0.0.1' is 10.0.0.1),
 * ::ffff:a.b.c.d is IPv4. Zones ('fe80::1%eth0') are refused.
 * @returns canonical text, or undefined when it is no address.
 */
export function parseAddress(text: string): Address | undefined {
	const four = parseFour(text);
	if (four !== undefined) return four;
	if (!text.includes(':') || text.includes('%')) return undefined;
	const lenient = stripZerosOfTail(text);
	if (!ipaddr.IPv6.isValid(lenient)) return undefined;
	const six = ipaddr.IPv6.parse(lenient);
	return six.isIPv4MappedAddress() ? six.toIPv4Address().toString() : six.toRFC5952String();
}

/** As parseAddress. @throws ADDRESS_INVALID */
export function requireAddress(text: string): Address {
	const address = parseAddress(text);
	if (address === undefined) {
		throw new FairleadError('ADDRESS_INVALID', `cannot parse address ${JSON.stringify(text)}: neither IPv4 nor IPv6`);
	}
	return address;
}

/** Dotted decimal with any number of leading zeros; hand-written because 100,000 endpoints go through it. */
function parseFour(text: string): Address | undefined {
	let value = -1;
	let dots = 0;
	let zeros = false;
	let digits = 0;
	for (let i = 0; i <= text.length; i++) {
		const c = i < text.length ? text.charCodeAt(i) : 46;
		if (c === 46) {
			if (value < 0 || value > 255) return undefined;
			if (i < text.length) dots++;
			value = -1;
			digits = 0;
		} else if (c >= 48 && c <= 57) {
			if (digits > 0 && value === 0) zeros = true;
			value = Math.max(value, 0) * 10 + (c - 48);
			digits++;
			if (value > 255) return undefined;
		} else return undefined;
	}
	if (dots !== 3) return undefined;
	return zeros ? text.split('.').map(Number).join('.') : text;
}

/** ipaddr.js reads '::ffff:010.0.0.1' with octal parts; Kubernetes reads them as decimal. */
function stripZerosOfTail(text: string): string {
	const at = text.lastIndexOf(':') + 1;
	const tail = text.slice(at);
	if (!tail.includes('.')) return text;
	return text.slice(0, at) + (parseFour(tail) ?? tail);
}

/** Family of a canonical address or prefix. */
export function familyOf(address: Address | Cidr): Family {
	return address.includes(':') ? 6 : 4;
}

/** 16 bytes; IPv4 as ::ffff:a.b.c.d. @throws ADDRESS_INVALID when the text is not canonical */
export function addressBytes(address: Address): Uint8Array {
	const bytes = new Uint8Array(16);
	writeAddress(address, bytes, 0);
	return bytes;
}

/** Writes the 16 bytes of an address to `out` at `offset`. */
export function writeAddress(address: Address, out: Uint8Array, offset: number): void {
	if (!address.includes(':')) {
		out.fill(0, offset, offset + 10);
		out[offset + 10] = 0xff;
		out[offset + 11] = 0xff;
		let value = 0;
		let at = offset + 12;
		for (let i = 0; i < address.length; i++) {
			const c = address.charCodeAt(i);
			if (c === 46) {
				out[at++] = value;
				value = 0;
			} else value = value * 10 + (c - 48);
		}
		out[at] = value;
		if (at !== offset + 15)
			throw new FairleadError('ADDRESS_INVALID', `cannot encode address ${JSON.stringify(address)}`);
		return;
	}
	if (!ipaddr.IPv6.isValid(address)) {
		throw new FairleadError('ADDRESS_INVALID', `cannot encode address ${JSON.stringify(address)}`);
	}
	out.set(ipaddr.IPv6.parse(address).toByteArray(), offset);
}

/** Canonical text of 16 bytes. */
export function addressOfBytes(bytes: Uint8Array, offset = 0): Address {
	if (isMappedFour(bytes, offset)) {
		return `${bytes[offset + 12]}.${bytes[offset + 13]}.${bytes[offset + 14]}.${bytes[offset + 15]}`;
	}
	return new ipaddr.IPv6(Array.from(bytes.subarray(offset, offset + 16))).toRFC5952String();
}

function isMappedFour(bytes: Uint8Array, offset: number): boolean {
	for (let i = 0; i < 10; i++) if (bytes[offset + i] !== 0) return false;
	return bytes[offset + 10] === 0xff && bytes[offset + 11] === 0xff;
}

/** IPv4 before IPv6, then by value. */
export function compareAddresses(a: Address, b: Address): number {
	if (a === b) return 0;
	const family = familyOf(a) - familyOf(b);
	return family !== 0 ? family : compareBytes(addressBytes(a), addressBytes(b));
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
	for (let i = 0; i < a.length; i++) {
		const difference = (a[i] ?? 0) - (b[i] ?? 0);
		if (difference !== 0) return difference;
	}
	return 0;
}

/** Loopback, link-local, multicast or unspecified: never the address of a pod, node or service seen from elsewhere. */
export function isScopedAddress(address: Address): boolean {
	const range = ipaddr.parse(address).range();
	return range === 'loopback' || range === 'linkLocal' || range === 'multicast' || range === 'unspecified';
}

export interface PrefixParts {
	readonly address: Address;
	/** In bits of the own family: 0–32 or 0–128. */
	readonly prefixLength: number;
	readonly family: Family;
}

/**
 * Parses a prefix leniently (see parseAddress; host bits may be set; a bare address is its own prefix).
 * @returns canonical text, or undefined.
 */
export function parseCidr(text: string): Cidr | undefined {
	const slash = text.indexOf('/');
	const literal = slash < 0 ? text : text.slice(0, slash);
	const address = parseAddress(literal);
	if (address === undefined) return undefined;
	const family = familyOf(address);
	const width = family === 4 ? 32 : 128;
	if (slash < 0) return `${address}/${width}`;
	const lengthText = text.slice(slash + 1);
	if (!/^\d{1,3}$/.test(lengthText)) return undefined;
	// ::ffff:10.0.0.0/104 is 10.0.0.0/8
	const length = Number(lengthText) - (family === 4 && literal.includes(':') ? 96 : 0);
	if (length < 0 || length > width) return undefined;
	return `${networkAddress(address, length)}/${length}`;
}

/** As parseCidr. @throws ADDRESS_INVALID */
export function requireCidr(text: string): Cidr {
	const cidr = parseCidr(text);
	if (cidr === undefined) {
		throw new FairleadError('ADDRESS_INVALID', `cannot parse prefix ${JSON.stringify(text)}: not ADDRESS/LENGTH`);
	}
	return cidr;
}

/** The address with all bits after the first `prefixLength` cleared. */
export function networkAddress(address: Address, prefixLength: number): Address {
	const bytes = addressBytes(address);
	const bits = prefixLength + (familyOf(address) === 4 ? 96 : 0);
	for (let i = 0; i < 16; i++) {
		const keep = Math.min(8, Math.max(0, bits - i * 8));
		bytes[i] = (bytes[i] ?? 0) & (0xff00 >> keep) & 0xff;
	}
	return addressOfBytes(bytes);
}

/** Parts of canonical prefix text. */
export function cidrParts(cidr: Cidr): PrefixParts {
	const slash = cidr.indexOf('/');
	const address = cidr.slice(0, slash);
	return { address, prefixLength: Number(cidr.slice(slash + 1)), family: familyOf(address) };
}

/** True when `address` (of any family) lies inside the canonical prefix. */
export function cidrContains(cidr: Cidr, address: Address): boolean {
	const { address: network, prefixLength, family } = cidrParts(cidr);
	return familyOf(address) === family && networkAddress(address, prefixLength) === network;
}

/** True when the prefixes share an address. */
export function cidrsOverlap(a: Cidr, b: Cidr): boolean {
	return cidrContains(a, cidrParts(b).address) || cidrContains(b, cidrParts(a).address);
}

/** 'a.b.c.d:port' or '[v6]:port'. */
export function formatEndpoint(address: Address, port: number): string {
	return familyOf(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;
}
