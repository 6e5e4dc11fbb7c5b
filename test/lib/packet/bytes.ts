/**
 * Bytes, addresses and checksums for the packet builder and parser. Everything here is independent of the
 * product's own code, so that the product can be judged by it.
 */
import ipaddr from 'ipaddr.js';

/** Joins byte arrays. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
	const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
	let at = 0;
	for (const part of parts) {
		out.set(part, at);
		at += part.length;
	}
	return out;
}

export function u16(value: number): Uint8Array {
	return Uint8Array.of((value >>> 8) & 255, value & 255);
}

export function u32(value: number): Uint8Array {
	return Uint8Array.of((value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
}

export function get16(bytes: Uint8Array, at: number): number {
	return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

export function get32(bytes: Uint8Array, at: number): number {
	return ((get16(bytes, at) << 16) | get16(bytes, at + 2)) >>> 0;
}

/** Address text to its 4 or 16 bytes. */
export function addressBytes(text: string): Uint8Array {
	return Uint8Array.from(ipaddr.parse(text).toByteArray());
}

/** Address text to 16 bytes, IPv4 as ::ffff:a.b.c.d. */
export function address16(text: string): Uint8Array {
	const bytes = addressBytes(text);
	return bytes.length === 16 ? bytes : concat(new Uint8Array(10), Uint8Array.of(255, 255), bytes);
}

/** 4 or 16 bytes to text; a mapped IPv4 address is printed as IPv4. */
export function addressText(bytes: Uint8Array): string {
	const address = ipaddr.fromByteArray([...bytes]);
	if (address.kind() === 'ipv6') {
		const six = address as ipaddr.IPv6;
		return six.isIPv4MappedAddress() ? six.toIPv4Address().toString() : six.toString();
	}
	return address.toString();
}

export function macBytes(text: string): Uint8Array {
	return Uint8Array.from(text.split(':').map((part) => Number.parseInt(part, 16)));
}

export function macText(bytes: Uint8Array): string {
	return [...bytes].map((b) => b.toString(16).padStart(2, '0')).join(':');
}

export function hex(bytes: Uint8Array): string {
	return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** One's complement sum of 16-bit big-endian words (RFC 1071), not inverted; an odd last byte is padded with zero. */
export function onesSum(bytes: Uint8Array, start = 0): number {
	let sum = start;
	for (let i = 0; i < bytes.length; i += 2) {
		sum += get16(bytes, i);
	}
	while (sum > 0xffff) {
		sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
	}
	return sum;
}

/** The Internet checksum: the value that belongs into the zeroed field. */
export function internetChecksum(bytes: Uint8Array, start = 0): number {
	return ~onesSum(bytes, start) & 0xffff;
}

/** Pseudo header of TCP, UDP and ICMPv6. `src` and `dst` are both 4 or both 16 bytes. */
export function pseudoHeader(src: Uint8Array, dst: Uint8Array, proto: number, length: number): Uint8Array {
	return src.length === 4
		? concat(src, dst, Uint8Array.of(0, proto), u16(length))
		: concat(src, dst, u32(length), Uint8Array.of(0, 0, 0, proto));
}

const CRC32C_TABLE = makeCrc32cTable();

function makeCrc32cTable(): Uint32Array {
	const table = new Uint32Array(256);
	for (let n = 0; n < 256; n++) {
		let c = n;
		for (let k = 0; k < 8; k++) {
			c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
		}
		table[n] = c >>> 0;
	}
	return table;
}

/** CRC-32C (Castagnoli) of the bytes, as in RFC 9260 appendix A; the packet carries it little endian. */
export function crc32c(bytes: Uint8Array): number {
	let crc = 0xffffffff;
	for (const byte of bytes) {
		crc = ((crc >>> 8) ^ (CRC32C_TABLE[(crc ^ byte) & 255] ?? 0)) >>> 0;
	}
	return ~crc >>> 0;
}
