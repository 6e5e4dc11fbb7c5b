import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Layer } from './packet.ts';
import {
	address16,
	addressText,
	arp,
	build,
	concat,
	crc32c,
	echo,
	eth,
	ext6,
	format,
	fragments,
	hex,
	icmp,
	icmpv6,
	internetChecksum,
	ip,
	ipv4,
	ipv6,
	layerOf,
	parse,
	quoted,
	raw,
	sctp,
	tcp,
	udp,
	vlan,
	vxlan,
} from './packet.ts';

const link = eth({ src: '02:00:00:00:00:01', dst: '02:00:00:00:00:02' });
const four = ipv4({ src: '10.0.0.1', dst: '10.0.0.2' });
const six = ipv6({ src: 'fd00::1', dst: 'fd00::2' });

function bytesOf(text: string): Uint8Array {
	return Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
}

describe('checksums', () => {
	it('computes the example of RFC 1071 section 3', () => {
		expect(internetChecksum(bytesOf('0001 f203 f4f5 f6f7'))).toBe(~0xddf2 & 0xffff);
	});

	it('computes the CRC32c test vectors of RFC 3720 appendix B.4', () => {
		expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
		expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
		expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
	});

	it('writes the header checksum of the well-known 172.16.10.99 example', () => {
		const header = build(
			ipv4({ src: '172.16.10.99', dst: '172.16.10.12', id: 0x1c46, df: true, ttl: 64, proto: 6, totalLength: 60 }),
		);
		expect(hex(header)).toBe('4500003c1c4640004006b1e6ac100a63ac100a0c');
	});
});

const CASES: readonly [string, readonly Layer[]][] = [
	['TCP over IPv4', [link, four, tcp({ sport: 1, dport: 2, flags: 'S', options: Uint8Array.of(2, 4, 5, 180) })]],
	['TCP with odd payload', [link, four, tcp({ sport: 1, dport: 2, flags: 'PA' }), raw('odd')]],
	[
		'IPv4 options',
		[link, ipv4({ ...four, options: Uint8Array.of(7, 3, 4, 0) }), udp({ sport: 1, dport: 2 }), raw('x')],
	],
	['UDP over IPv6', [link, six, udp({ sport: 1, dport: 2 }), raw('hello')]],
	['SCTP over both', [link, six, sctp({ sport: 1, dport: 2, tag: 7 }), raw(Uint8Array.of(1, 0, 0, 4))]],
	['VLAN and echo', [link, vlan(7), four, echo(4, { id: 1, seq: 2 }), raw('ping')]],
	['ICMPv6 echo', [link, six, echo(6, { reply: true, id: 1, seq: 2 })]],
	[
		'six extension headers',
		[
			link,
			six,
			...[0, 60, 60, 60, 60, 60].map((type) => ext6({ type, data: new Uint8Array(6) })),
			tcp({ sport: 1, dport: 2, flags: 'A' }),
		],
	],
	['VXLAN', [link, four, udp({ sport: 1, dport: 8472 }), vxlan(1), link, six, tcp({ sport: 1, dport: 2, flags: 'S' })]],
	['IPIP', [link, four, ipv4({ src: '10.1.0.1', dst: '10.1.0.2' }), udp({ sport: 1, dport: 2 })]],
	['IPv6 in IPv4', [link, four, six, udp({ sport: 1, dport: 2 })]],
];

describe('build and parse', () => {
	it.each(CASES)('reads back %s with the same layers and no problem', (_, layers) => {
		const parsed = parse(build(...layers));
		expect(parsed.problems).toEqual([]);
		expect(parsed.layers.map((l) => l.kind)).toEqual(layers.map((l) => l.kind));
		expect(parsed.layers).toMatchObject(layers.map((layer) => ({ ...layer })));
	});

	it('reads back ARP', () => {
		const want = arp({
			op: 1,
			senderMac: '02:00:00:00:00:01',
			sender: '10.0.0.1',
			targetMac: '00:00:00:00:00:00',
			target: '169.254.1.1',
		});
		expect(layerOf(parse(build(link, want)), 'arp')).toEqual(want);
	});

	it('builds the same bytes from what it parsed', () => {
		for (const [, layers] of CASES) {
			const bytes = build(...layers);
			expect(hex(build(...parse(bytes).layers))).toBe(hex(bytes));
		}
	});

	it('parses the packet quoted by an ICMP error and does not judge its checksums', () => {
		const original = build(link, four, tcp({ sport: 1, dport: 2, flags: 'A' }), raw(new Uint8Array(100)));
		const parsed = parse(build(link, four, icmp({ type: 3, code: 4, rest: 1400 }), raw(quoted(original, 28))));
		expect(parsed.problems).toEqual([]);
		expect(parsed.quoted?.layers[0]).toMatchObject({ kind: 'ipv4', src: '10.0.0.1' });
		const sixError = parse(
			build(
				link,
				six,
				icmpv6({ type: 2, code: 0, rest: 1280 }),
				raw(quoted(build(link, six, udp({ sport: 5, dport: 6 })))),
			),
		);
		expect(sixError.quoted && layerOf(sixError.quoted, 'udp')).toMatchObject({ sport: 5, dport: 6 });
	});

	it('leaves a UDP checksum of 0 alone over IPv4 and reports it over IPv6', () => {
		expect(parse(build(link, four, udp({ sport: 1, dport: 2, checksum: 0 }))).problems).toEqual([]);
		expect(parse(build(link, six, udp({ sport: 1, dport: 2, checksum: 0 }))).problems).toEqual([
			'UDP over IPv6 has no checksum',
		]);
	});
});

describe('fragments', () => {
	it.each([ip('10.0.0.1', '10.0.0.2'), ip('fd00::1', 'fd00::2')])(
		'splits a $kind datagram whose parts join to the whole',
		(header) => {
			const content = Uint8Array.from({ length: 100 }, (_, i) => i);
			const whole = build(header, udp({ sport: 1, dport: 2 }), raw(content));
			const parts = fragments([link], [header, udp({ sport: 1, dport: 2 }), raw(content)], { id: 9, cuts: [16, 64] });
			const headerLength = header.kind === 'ipv4' ? 34 : 62;
			expect(parts.map((p) => parse(p).problems)).toEqual([[], [], []]);
			expect(hex(concat(...parts.map((p) => p.subarray(headerLength))))).toBe(
				hex(whole.subarray(headerLength - (header.kind === 'ipv4' ? 14 : 22))),
			);
		},
	);
});

describe('problems', () => {
	it.each([
		['IPv4 header checksum', build(link, ipv4({ ...four, checksum: 1 }), udp({ sport: 1, dport: 2 }))],
		['TCP checksum', build(link, four, tcp({ sport: 1, dport: 2, flags: 'S', checksum: 1 }))],
		['UDP checksum', build(link, six, udp({ sport: 1, dport: 2, checksum: 1 }))],
		['SCTP CRC32c', build(link, six, sctp({ sport: 1, dport: 2, checksum: 1 }))],
		['ICMP checksum', build(link, four, icmp({ type: 8, code: 0, rest: 0, checksum: 1 }))],
		['ICMPv6 checksum', build(link, six, icmpv6({ type: 128, code: 0, rest: 0, checksum: 1 }))],
		['IPv4 total length', build(link, ipv4({ ...four, totalLength: 900 }), udp({ sport: 1, dport: 2 }))],
		['UDP length', build(link, four, udp({ sport: 1, dport: 2, length: 9 }))],
		['TCP header length', build(link, four, tcp({ sport: 1, dport: 2, flags: 'S', dataOffset: 15 }))],
	])('names a wrong %s', (name, bytes) => {
		expect(parse(bytes).problems.join('; ')).toContain(name);
		expect(format(bytes)).toContain(`! ${name}`);
	});

	it('never throws on any bytes', () => {
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(CASES.length - 1), fc.nat(150), (noise, which, at) => {
				const packet = build(...(CASES[which]?.[1] ?? []));
				packet.set(noise.subarray(0, Math.max(0, packet.length - at)), Math.min(at, packet.length));
				format(packet);
				format(noise);
			}),
			{ numRuns: 2000, seed: 7 },
		);
	});
});

describe('addresses', () => {
	it('maps IPv4 into 16 bytes and prints it as IPv4', () => {
		expect(hex(address16('10.0.0.1'))).toBe('00000000000000000000ffff0a000001');
		expect(addressText(address16('10.0.0.1'))).toBe('10.0.0.1');
		expect(addressText(address16('fd00::1'))).toBe('fd00::1');
	});
});
