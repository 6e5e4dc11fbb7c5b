import { encode, type Packet, streamEncode } from 'dns-packet';
import { beforeEach, describe, expect, it } from 'vitest';
import { build, eth, fragments, ip, raw, tcp, udp } from '../../test/lib/packet.ts';
import { DomainCache } from './domain-cache.ts';
import { Interceptor } from './interceptor.ts';

const HEADER = 10;
const POD = { mac: '02:00:00:00:00:0a', address: '10.244.1.5', v6: 'fd00:244::5' };
const SERVER = { mac: '02:00:00:00:00:01', address: '10.96.0.10', v6: 'fd00:96::10' };

let cache: DomainCache;
let interceptor: Interceptor;
/** What happened, in order. */
let events: string[];
beforeEach(() => {
	events = [];
	cache = new DomainCache({ waitsFor: () => true, graceMs: 0, addressesPerName: 10, addresses: 100 });
	interceptor = new Interceptor({
		cache,
		podOf: (mac) => (mac === POD.mac ? 42 : mac === '02:00:00:00:00:0b' ? 43 : undefined),
		headerBytes: HEADER,
		onLearnt: () => {
			for (const [address, names] of cache.takeChanges()) events.push(`${[...names]} is ${address}`);
		},
		onError: (error) => events.push(String(error)),
		deliver: (ifindex, frame) => events.push(`${frame.length} bytes to ${ifindex}`),
		now: () => 0,
	});
});

/** Frames as the packet socket gives them, all in one piece of memory. */
function take(...frames: Uint8Array[]): string[] {
	const all = Buffer.concat(frames.map((frame) => Buffer.concat([Buffer.alloc(HEADER), frame])));
	let at = 0;
	interceptor.take(
		frames.map((frame) => {
			at += HEADER + frame.length;
			return all.subarray(at - HEADER - frame.length, at);
		}),
	);
	all.fill(0xee); // nothing may be read later
	return events.splice(0);
}

type Family = 4 | 6;
const ends = (family: Family) =>
	(family === 4 ? [POD.address, SERVER.address] : [POD.v6, SERVER.v6]) as [string, string];
const fromPod = (family: Family = 4) => {
	const [pod, server] = ends(family);
	return [eth({ src: POD.mac, dst: SERVER.mac }), ip(pod, server)] as const;
};
const toPod = (family: Family = 4) => {
	const [pod, server] = ends(family);
	return [eth({ src: SERVER.mac, dst: POD.mac }), ip(server, pod)] as const;
};

const question = (id: number, name = 'a.test'): Packet => ({ type: 'query', id, questions: [{ type: 'A', name }] });
const answer = (id: number, data: string, name = 'a.test', count = 1): Packet => ({
	type: 'response',
	id,
	questions: [{ type: 'A', name }],
	answers: Array.from({ length: count }, () => ({ type: 'A', name, ttl: 60, data })),
});
const ask = (id: number, family: Family = 4, name?: string, sport = 5000) =>
	build(...fromPod(family), udp({ sport, dport: 53 }), raw(encode(question(id, name))));
const reply = (id: number, data: string, family: Family = 4, name?: string, dport = 5000) =>
	build(...toPod(family), udp({ sport: 53, dport }), raw(encode(answer(id, data, name))));

describe('answers', () => {
	it.each([4, 6] as const)('are in force before they are delivered, IPv%s', (family) => {
		expect(take(ask(1, family))).toEqual([]);
		const frame = reply(1, '203.0.113.1', family);
		expect(take(frame)).toEqual(['a.test is 203.0.113.1', `${frame.length + HEADER} bytes to 42`]);
	});

	it('of one batch are learnt together and delivered in their order', () => {
		const [one, other] = [reply(1, '203.0.113.1'), reply(2, '203.0.113.2', 4, 'longer.a.test')];
		expect(take(ask(1), ask(2, 4, 'longer.a.test'), one, other)).toEqual([
			'a.test is 203.0.113.1',
			'longer.a.test is 203.0.113.2',
			`${one.length + HEADER} bytes to 42`,
			`${other.length + HEADER} bytes to 42`,
		]);
	});

	it('that nobody has asked for are delivered and not learnt', () => {
		const learnt = (...frames: Uint8Array[]) => take(...frames).filter((event) => event.includes(' is '));
		expect(learnt(reply(1, '203.0.113.1'))).toEqual([]);
		expect(learnt(ask(1), reply(2, '203.0.113.1'))).toEqual([]);
		expect(learnt(reply(1, '203.0.113.1', 4, 'b.test'))).toEqual([]);
		expect(learnt(reply(1, '203.0.113.1', 4, 'a.test', 5001))).toEqual([]);
		expect(learnt(reply(1, '203.0.113.1'))).toEqual(['a.test is 203.0.113.1']);
		expect(learnt(reply(1, '203.0.113.2'))).toEqual([]);
		expect(interceptor.stats).toMatchObject({ unasked: 5, delivered: 6 });
	});

	it('to a question that was sent twice may come twice', () => {
		take(ask(1), ask(1));
		expect(take(reply(1, '203.0.113.1'))[0]).toBe('a.test is 203.0.113.1');
		expect(take(reply(1, '203.0.113.2'))[0]).toBe('a.test is 203.0.113.2');
	});

	it.each([4, 6] as const)('are put together from fragments, whose last one waits for them, IPv%s', (family) => {
		const big = encode(answer(1, '203.0.113.1', 'a.test', 200));
		const [head, header] = toPod(family);
		const pieces = fragments([head], [header, udp({ sport: 53, dport: 5000 }), raw(big)], {
			id: 77,
			cuts: [1200, 2400],
		});
		expect(pieces.length).toBeGreaterThan(2);
		take(ask(1, family));
		const last = pieces.pop() as Uint8Array;
		for (const piece of pieces.reverse()) expect(take(piece)).toEqual([`${piece.length + HEADER} bytes to 42`]);
		expect(take(last)).toEqual(['a.test is 203.0.113.1', `${last.length + HEADER} bytes to 42`]);
	});

	it('are found in streams, in either direction over several segments', () => {
		const client = { sport: 6000, dport: 53 };
		const server = { sport: 53, dport: 6000 };
		const queries = Buffer.concat([streamEncode(question(1)), streamEncode(question(2, 'b.test'))]);
		const answers = Buffer.concat([
			streamEncode(answer(1, '203.0.113.1')),
			streamEncode(answer(2, '203.0.113.2', 'b.test')),
		]);
		take(build(...fromPod(), tcp({ ...client, flags: 'S', seq: 0xffffffff })));
		expect(take(build(...toPod(), tcp({ ...server, flags: 'SA', seq: 99 }))).length).toBe(1);
		take(build(...fromPod(), tcp({ ...client, flags: 'A', seq: 0 }), raw(queries.subarray(0, 20))));
		take(build(...fromPod(), tcp({ ...client, flags: 'A', seq: 20 }), raw(queries.subarray(20))));
		const half = build(...toPod(), tcp({ ...server, flags: 'A', seq: 100 }), raw(answers.subarray(0, 10)));
		const rest = build(...toPod(), tcp({ ...server, flags: 'A', seq: 110 }), raw(answers.subarray(10)));
		expect(take(half)).toEqual([`${half.length + HEADER} bytes to 42`]);
		expect(take(rest).slice(0, 2)).toEqual(['a.test is 203.0.113.1', 'b.test is 203.0.113.2']);
	});

	it('in streams whose beginning was not seen are delivered only', () => {
		const segment = build(
			...toPod(),
			tcp({ sport: 53, dport: 6001, flags: 'A', seq: 5 }),
			raw(streamEncode(answer(1, '203.0.113.1'))),
		);
		expect(take(segment)).toEqual([`${segment.length + HEADER} bytes to 42`]);
	});

	it('to one pod are learnt whatever another asks', () => {
		take(ask(1));
		const other = eth({ src: '02:00:00:00:00:0b', dst: SERVER.mac });
		for (let port = 1; port < 5000; port++) {
			take(build(other, ip('10.244.1.6', SERVER.address), udp({ sport: port, dport: 53 }), raw(encode(question(1)))));
		}
		expect(take(reply(1, '203.0.113.1'))[0]).toBe('a.test is 203.0.113.1');
	});

	it('that cannot be kept are delivered', () => {
		take(ask(1));
		cache.learn = () => {
			throw new Error('no room');
		};
		const frame = reply(1, '203.0.113.1');
		expect(take(frame)).toEqual(['Error: no room', `${frame.length + HEADER} bytes to 42`]);
	});

	it('and anything else, cut at any place, is delivered without harm', () => {
		const frame = reply(1, '203.0.113.1');
		for (let length = 0; length < frame.length; length++) {
			const got = take(ask(1), frame.slice(0, length));
			expect(got.filter((event) => event.includes(' is '))).toEqual([]);
		}
		for (let i = 12; i < frame.length; i++) {
			const damaged = Uint8Array.from(frame);
			damaged[i] = 0xff;
			expect(() => take(damaged)).not.toThrow();
		}
	});
});
