/** Seeded mutations: packets of every kind, damaged in the ways that parsers get wrong. */
import { build, fragments, quoted } from './build.ts';
import { concat } from './bytes.ts';
import type { Layer } from './layers.ts';
import { arp, echo, eth, ext6, icmp, icmpv6, ip, ipv4, ipv6, raw, sctp, tcp, udp, vxlan } from './layers.ts';

/** mulberry32: small, fast and the same everywhere. */
export class Random {
	#state: number;

	constructor(seed: number) {
		this.#state = seed >>> 0;
	}

	/** An integer from 0 to `below` - 1. */
	next(below: number): number {
		this.#state = (this.#state + 0x6d2b79f5) >>> 0;
		let t = this.#state;
		t = Math.imul(t ^ (t >>> 15), t | 1);
		t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
		return ((t ^ (t >>> 14)) >>> 0) % below;
	}

	pick<T>(values: readonly T[]): T {
		const value = values[this.next(values.length)];
		if (value === undefined) {
			throw new RangeError('nothing to pick from');
		}
		return value;
	}
}

interface Link {
	readonly src: string;
	readonly dst: string;
}

function bothFamilies(link: Link, src: string, dst: string): Uint8Array[] {
	const head = eth(link);
	const six = src.includes(':');
	const data = raw(Uint8Array.from({ length: 40 }, (_, i) => i));
	const about = build(head, ip(dst, src), tcp({ sport: 80, dport: 40000, flags: 'A' }), data);
	const error = six ? icmpv6({ type: 2, code: 0, rest: 1280 }) : icmp({ type: 3, code: 4, rest: 1280 });
	return [
		build(head, ip(src, dst), tcp({ sport: 40000, dport: 80, flags: 'S', options: Uint8Array.of(2, 4, 5, 180) })),
		build(head, ip(src, dst), tcp({ sport: 40000, dport: 80, flags: 'PA' }), data),
		build(head, ip(src, dst), tcp({ sport: 40000, dport: 84, flags: 'S' })),
		build(head, ip(src, dst), udp({ sport: 5000, dport: 53 }), data),
		build(
			head,
			ip(src, dst),
			udp({ sport: 5000, dport: 8472 }),
			vxlan(1),
			head,
			ip(dst, src),
			udp({ sport: 1, dport: 2 }),
		),
		build(head, ip(src, dst), sctp({ sport: 6000, dport: 5000 }), data),
		build(head, ip(src, dst), echo(six ? 6 : 4, { id: 1, seq: 2 }), data),
		build(head, ip(src, dst), error, raw(quoted(about))),
		build(head, ip(src, dst), ip(dst, src), udp({ sport: 1, dport: 2 })),
		...fragments([head], [ip(src, dst), udp({ sport: 7000, dport: 53 }), data], { id: 9, cuts: [16, 32] }),
	];
}

function onlyIpv4(link: Link, src: string, dst: string): Uint8Array[] {
	const head = eth(link);
	const options = Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 0);
	return [
		build(head, ipv4({ src, dst, options }), tcp({ sport: 40000, dport: 80, flags: 'A' })),
		build(head, ipv4({ src, dst, df: true }), udp({ sport: 1, dport: 2, checksum: 0 }), raw(new Uint8Array(1500))),
		build(
			head,
			arp({ op: 1, senderMac: link.src, sender: src, targetMac: '00:00:00:00:00:00', target: '169.254.1.1' }),
		),
	];
}

function onlyIpv6(link: Link, src: string, dst: string): Uint8Array[] {
	const head = eth(link);
	const extensions: Layer[] = [0, 60, 43, 60].map((type) => ext6({ type, data: Uint8Array.of(4, 0, 0, 0, 0, 0) }));
	const target = concat(Uint8Array.of(0xfe, 0x80), new Uint8Array(13), Uint8Array.of(1));
	return [
		build(head, ipv6({ src, dst }), ...extensions, tcp({ sport: 40000, dport: 80, flags: 'A' })),
		build(
			head,
			ipv6({ src, dst: 'ff02::1:ff00:1', hopLimit: 255 }),
			icmpv6({ type: 135, code: 0, rest: 0 }),
			raw(target),
		),
		build(head, ipv6({ src, dst: 'ff02::1', hopLimit: 255 }), icmpv6({ type: 134, code: 0, rest: 0 }), raw(target)),
	];
}

/** Good packets of every kind from one source to several destinations of its family. */
export function seedPackets(link: Link, src: string, destinations: readonly string[]): Uint8Array[] {
	return destinations.flatMap((dst) => [
		...bothFamilies(link, src, dst),
		...(src.includes(':') ? onlyIpv6(link, src, dst) : onlyIpv4(link, src, dst)),
	]);
}

type Mutation = (bytes: Uint8Array, random: Random) => Uint8Array;

function setByte(at: (bytes: Uint8Array, random: Random) => number): Mutation {
	return (bytes, random) => {
		const copy = bytes.slice();
		const index = at(bytes, random);
		if (index < copy.length) {
			copy[index] = random.pick([0, 1, 4, 5, 15, 0x40, 0x45, 0x4f, 0x60, 0x7f, 0x80, 0xff, random.next(256)]);
		}
		return copy;
	};
}

/** Offsets of version/IHL, lengths, fragment field, TTL, protocol in an IPv4 header; the same for IPv6 and what follows. */
const FIELDS4 = [14, 16, 17, 20, 21, 22, 23, 24, 46, 47];
const FIELDS6 = [14, 18, 19, 20, 21, 54, 55, 56, 57, 66];

const MUTATIONS: readonly Mutation[] = [
	(bytes, random) => bytes.slice(0, 14 + random.next(Math.max(1, bytes.length - 14))),
	(bytes, random) =>
		concat(
			bytes,
			Uint8Array.from({ length: random.next(64) }, () => random.next(256)),
		),
	setByte((bytes, random) => random.next(bytes.length)),
	setByte((_bytes, random) => random.pick(FIELDS4)),
	setByte((_bytes, random) => random.pick(FIELDS6)),
	setByte((bytes, random) => 14 + random.next(Math.min(80, bytes.length))),
	(bytes, random) => {
		const copy = bytes.slice();
		const at = random.next(copy.length);
		return copy.fill(random.pick([0, 255]), at, at + random.next(24));
	},
	(bytes, random) => {
		// a header's worth of bytes too many or too few in the middle
		const at = 14 + random.next(Math.max(1, bytes.length - 14));
		const skip = random.next(24);
		return random.next(2)
			? concat(bytes.slice(0, at), bytes.slice(at + skip))
			: concat(bytes.slice(0, at), new Uint8Array(skip), bytes.slice(at));
	},
];

/** An Ethernet header and one byte: nothing shorter reaches a program. */
export const SHORTEST_FRAME = 15;

/** One packet, damaged one to four times; every eighth is left whole. At least SHORTEST_FRAME long. */
export function mutate(bytes: Uint8Array, random: Random): Uint8Array {
	const times = random.next(8) === 0 ? 0 : 1 + random.next(4);
	let out = bytes;
	for (let i = 0; i < times; i++) {
		out = random.pick(MUTATIONS)(out, random);
	}
	return out.length < SHORTEST_FRAME ? concat(out, new Uint8Array(SHORTEST_FRAME - out.length)) : out;
}
