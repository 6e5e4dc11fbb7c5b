/** Direct server return while a set of backends changes: every flow stays where it began, whatever node balances it. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { livesByTableBefore, rememberedFlows } from '../../agent/reconcile/remembered-flows.ts';
import { Backend, DsrFlow, SvcEntry, SvcFlags, SvcKey } from '../../native/abi/generated.ts';
import type { RunResult } from '../lib/dataplane.ts';
import { VERDICT } from '../lib/dataplane.ts';
import { backendTag } from '../lib/flow-hash.ts';
import type { Layer } from '../lib/packet.ts';
import { address16, build, ipv4, layerOf, parse } from '../lib/packet.ts';
import { type Addresses, BACKEND_PORT, expectVerdict, FAMILIES, ipOf, TestNode, uplinkFrame, V4 } from './world.ts';
import {
	addressesOf,
	type Datagram,
	datagram,
	expectSent,
	fromClient,
	headersOf,
	isMoved,
	MODE,
	PORT,
	sentOn,
	sportFor,
	XDP,
	xdpWorld,
} from './xdp-world.ts';

const LIVE_ONLY = 1;
let node: TestNode;

beforeAll(async () => {
	node = await TestNode.start(xdpWorld(MODE.ipip), ['pod', 'node', 'xdp_lb', 'clock']);
}, 120_000);

beforeEach(async () => {
	await node.reset();
	await node.dataplane.clear('dsr_flows');
});

afterAll(() => node?.close());

const xdp = (packet: Uint8Array): Promise<RunResult> => node.dataplane.run('xdp_lb', packet);
const remembered = async (): Promise<DsrFlow[]> =>
	(await node.dataplane.entries('dsr_flows')).map(({ value }) => DsrFlow.decode(value));

/** Where XDP sends a packet: [node] or, with a second header inside, [node, other node]. */
async function targets(x: Addresses, o: Datagram): Promise<string[]> {
	const sent = fromClient(x, o);
	const parsed = expectSent(sent, await xdp(sent));
	const inner = headersOf(parsed) - 1;
	expect(addressesOf(parsed, inner)).toMatchObject({ src: x.world, dst: x.external });
	return Array.from({ length: inner }, (_, n) => addressesOf(parsed, n).dst);
}

const serviceKey = (x: Addresses, port: number, proto: number): Uint8Array =>
	SvcKey.encode({ addr: address16(x.external), port, proto, scope: 1 });

async function entryOf(key: Uint8Array): Promise<SvcEntry> {
	const row = (await node.dataplane.entries('services')).find((each) => Buffer.from(each.key).equals(key));
	if (!row) throw new Error('no such service');
	return SvcEntry.decode(row.value);
}

/** Changes the entry of a service for the time of a test. */
async function withEntry(
	key: Uint8Array,
	change: (old: SvcEntry) => SvcEntry,
	test: () => Promise<void>,
): Promise<void> {
	const old = await entryOf(key);
	await node.dataplane.set('services', key, SvcEntry.encode({ ...change(old), generation: old.generation + 1 }));
	try {
		await test();
	} finally {
		await node.dataplane.set('services', key, SvcEntry.encode(old));
	}
}

describe.each(FAMILIES)('a changing set over IPv$family', (x) => {
	const tcp = { proto: 'tcp', dport: PORT.changing } as const;
	const udp = { proto: 'udp', dport: PORT.changingUdp } as const;
	const moved = sportFor(x, tcp, isMoved);
	const stayed = sportFor(x, tcp, (slot) => !isMoved(slot));
	const web = serviceKey(x, PORT.changing, 6);

	it('remembers nothing where both tables agree', async () => {
		for (const flags of ['S', 'A', 'FA'])
			expect(await targets(x, { ...tcp, sport: stayed, flags })).toEqual([V4.node2]);
		expect(await remembered()).toEqual([]);
	});

	it('sends a new connection to the new backend and keeps it there', async () => {
		expect(await targets(x, { ...tcp, sport: moved, flags: 'S' })).toEqual([V4.node3]);
		expect(await targets(x, { ...tcp, sport: moved })).toEqual([V4.node3, V4.node2]);
		expect(await remembered()).toHaveLength(1);
	});

	it('sends the middle of a connection to the backend before, and names the new one to it', async () => {
		for (let n = 0; n < 3; n++) expect(await targets(x, { ...tcp, sport: moved })).toEqual([V4.node2, V4.node3]);
		expect(await remembered()).toHaveLength(1);
	});

	it('tells the agent whether a connection lives by the table before', async () => {
		const frontends = [{ address: x.external, port: PORT.changing, proto: 6 }] as const;
		const { transition, allBase, allCount } = await entryOf(web);
		const current = (await node.dataplane.entries('slots'))
			.flatMap(({ value }) => [...new Uint32Array(value.slice().buffer)])
			.slice(allBase, allBase + allCount);
		const lives = async (): Promise<boolean> => {
			const entries = (await node.dataplane.entries('dsr_flows')).map(({ key, value }) => [key, value] as const);
			const now = (await node.dataplane.run('clock_jiffies', new Uint8Array(64))).verdict >>> 0;
			const kernel = { mapEntries: () => entries, mapCapacity: () => 1024 };
			const flows = rememberedFlows(kernel, { now: () => now, hz: 250 });
			expect(flows.flows).toHaveLength(1);
			return livesByTableBefore({ current }, { frontends }, transition, flows);
		};
		await targets(x, { ...tcp, sport: moved, flags: 'S' });
		expect(await lives()).toBe(false);
		await node.dataplane.clear('dsr_flows');
		await targets(x, { ...tcp, sport: moved });
		expect(await lives()).toBe(true);
	});

	it('begins anew with a SYN on a port that was used', async () => {
		await targets(x, { ...tcp, sport: moved });
		expect(await targets(x, { ...tcp, sport: moved, flags: 'S' })).toEqual([V4.node3]);
		expect(await targets(x, { ...tcp, sport: moved })).toEqual([V4.node3, V4.node2]);
	});

	it('keeps flows through a second change', async () => {
		const later = sportFor(x, tcp, isMoved, moved + 1);
		await targets(x, { ...tcp, sport: moved });
		await targets(x, { ...tcp, sport: later, flags: 'S' });
		const back = (old: SvcEntry): SvcEntry => ({
			...old,
			allBase: old.prevBase,
			allCount: old.prevCount,
			prevBase: old.allBase,
			prevCount: old.allCount,
		});
		await withEntry(web, back, async () => {
			expect((await targets(x, { ...tcp, sport: moved }))[0]).toBe(V4.node2);
			expect((await targets(x, { ...tcp, sport: later }))[0]).toBe(V4.node3);
			const fresh = sportFor(x, tcp, isMoved, later + 1);
			expect(await targets(x, { ...tcp, sport: fresh, flags: 'S' })).toEqual([V4.node2]);
		});
	});

	it.each(['xdp', 'tc'])(
		'keeps flows where tables agree by now, if what is remembered counts for all (%s)',
		async (way) => {
			await targets(x, { ...tcp, sport: moved, flags: 'S' });
			const fresh = sportFor(x, tcp, isMoved, moved + 1);
			const go = async (sport: number, flags = 'A'): Promise<string[]> => {
				if (way === 'xdp') return targets(x, { ...tcp, sport, flags });
				const sent = fromClient(x, { ...tcp, sport, flags });
				const result = await node.fromUplink(sent);
				expectVerdict(sent, result, VERDICT.REDIRECT);
				const parsed = parse(result.packet);
				return Array.from({ length: headersOf(parsed) - 1 }, (_, n) => addressesOf(parsed, n).dst);
			};
			const agreed = (flags: number) => (old: SvcEntry) => ({
				...old,
				allBase: old.prevBase,
				flags: old.flags | flags,
			});
			await withEntry(web, agreed(0), async () => expect(await go(moved)).toEqual([V4.node2]));
			await withEntry(web, agreed(SvcFlags.REMEMBERED), async () => {
				expect(await go(moved)).toEqual([V4.node3, V4.node2]);
				// one that was not seen is where both tables say, and no other node is named; one that begins is remembered as well
				expect(await go(stayed)).toEqual([V4.node2]);
				expect(await go(fresh, 'S')).toEqual([V4.node2]);
				expect(await remembered()).toHaveLength(3);
				expect(await go(moved, 'S')).toEqual([V4.node2]);
				expect(await go(moved)).toEqual([V4.node2]);
			});
		},
	);

	it('is over when the entry names no table before', async () => {
		await withEntry(
			web,
			(old) => ({ ...old, prevBase: 0, prevCount: 0 }),
			async () => {
				expect(await targets(x, { ...tcp, sport: moved })).toEqual([V4.node3]);
				expect(await remembered()).toEqual([]);
			},
		);
	});

	it('forgets a flow that was idle for hours', async () => {
		await targets(x, { ...tcp, sport: moved, flags: 'S' });
		const [row] = await node.dataplane.entries('dsr_flows');
		if (!row) throw new Error('nothing is remembered');
		const flow = DsrFlow.decode(row.value);
		const hours = 2 * 3600 * 250;
		await node.dataplane.set(
			'dsr_flows',
			row.key,
			DsrFlow.encode({ ...flow, lastSeen: (flow.lastSeen - hours) >>> 0 }),
		);
		expect(await targets(x, { ...tcp, sport: moved })).toEqual([V4.node2, V4.node3]);
	});

	it('leaves a backend that died, whatever is remembered, and never names it', async () => {
		await targets(x, { ...tcp, sport: moved });
		const rows = await node.dataplane.entries('backends');
		const dead = rows.filter(({ value }) => {
			const { addr, port } = Backend.decode(value);
			return port === BACKEND_PORT.web && Buffer.from(addr).equals(Buffer.from(address16(x.pod2)));
		});
		for (const { key, value } of dead) {
			await node.dataplane.set('backends', key, Backend.encode({ ...Backend.decode(value), flags: LIVE_ONLY }));
		}
		try {
			expect(await targets(x, { ...tcp, sport: moved })).toEqual([V4.node3]);
		} finally {
			for (const { key, value } of dead) await node.dataplane.set('backends', key, value);
		}
	});

	it('does not follow an entry of a row that has been given to another backend', async () => {
		await targets(x, { ...tcp, sport: moved, flags: 'S' });
		const [row] = await node.dataplane.entries('dsr_flows');
		if (!row) throw new Error('nothing is remembered');
		const flow = DsrFlow.decode(row.value);
		await node.dataplane.set('dsr_flows', row.key, DsrFlow.encode({ ...flow, generation: flow.generation + 1 }));
		expect(await targets(x, { ...tcp, sport: moved })).toEqual([V4.node2, V4.node3]);
	});

	it('does not follow what an earlier change has left of a client port that is used again', async () => {
		await targets(x, { ...tcp, sport: moved, flags: 'S' });
		const next = (old: SvcEntry): SvcEntry => ({ ...old, transition: old.transition + 1 });
		await withEntry(web, next, async () => {
			expect(await targets(x, { ...tcp, sport: moved })).toEqual([V4.node2, V4.node3]);
			expect(await remembered()).toMatchObject([{ transition: 1 }]);
		});
	});

	it('names no second backend when that would not fit', async () => {
		const head = build(...datagram(x, { ...tcp, sport: moved, payload: 0 })).length;
		expect(await targets(x, { ...tcp, sport: moved, payload: 1500 - 40 - head })).toEqual([V4.node2, V4.node3]);
		expect(await targets(x, { ...tcp, sport: moved, payload: 1500 - 40 - head + 1 })).toEqual([V4.node2]);
	});

	it('keeps datagrams with the backend before, and a flow of them where it is', async () => {
		const sport = sportFor(x, udp, isMoved);
		for (let n = 0; n < 2; n++) expect(await targets(x, { ...udp, sport })).toEqual([V4.node2]);
		expect(await remembered()).toHaveLength(1);
		await withEntry(
			serviceKey(x, PORT.changingUdp, 17),
			(old) => ({ ...old, prevBase: old.allBase, allBase: old.prevBase }),
			async () => {
				expect(await targets(x, { ...udp, sport })).toEqual([V4.node2]);
			},
		);
	});

	it('is the same for what XDP leaves to tc', async () => {
		const sent = fromClient(x, { ...tcp, sport: moved });
		const fast = await xdp(sent);
		await node.dataplane.clear('dsr_flows');
		const slow = await node.fromUplink(sent);
		expectVerdict(sent, slow, VERDICT.REDIRECT);
		expect([...slow.packet.subarray(14)]).toEqual([...fast.packet.subarray(14)]);
	});
});

describe.each(FAMILIES)('a node that is sent the middle of a connection it does not know, over IPv$family', (x) => {
	const service = { proto: 'tcp', dport: PORT.moving } as const;
	const sport = sportFor(x, service, isMoved);
	const proto = x.family === 4 ? 4 : 41;

	/** In an envelope from node 2, and perhaps a second one inside that names another node. */
	function envelope(o: { tag?: number; hint?: string; flags?: string; sport?: number; dport?: number }): Uint8Array {
		const { dport = service.dport } = o;
		const inner = datagram(x, { ...service, dport, sport: o.sport ?? sport, flags: o.flags ?? 'A' });
		const hint: Layer[] = o.hint ? [ipv4({ src: V4.node2, dst: o.hint, df: true, id: 0x123, proto })] : [];
		const outer = ipv4({ src: V4.node2, dst: V4.node, df: true, id: o.tag ?? 0, proto: o.hint ? 4 : proto });
		return uplinkFrame(outer, ...hint, ...inner);
	}

	async function receive(packet: Uint8Array): Promise<RunResult> {
		const unpacked = await xdp(packet);
		expect(unpacked.verdict).toBe(XDP.PASS);
		return node.fromUplink(unpacked.packet);
	}

	function expectSentOn(
		sent: Uint8Array,
		got: RunResult,
		to: string,
		tag: number,
		times: 'once' | 'twice' = 'once',
	): void {
		const parsed = expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(headersOf(parsed)).toBe(2);
		expect(addressesOf(parsed, 0)).toMatchObject({ src: V4.node, dst: to });
		expect(addressesOf(parsed, 1)).toMatchObject({ src: x.world, dst: x.external });
		expect(layerOf(parsed, 'ipv4')).toMatchObject({ id: sentOn(tag, times) });
	}

	async function expectKept(sent: Uint8Array): Promise<void> {
		const got = await receive(sent);
		expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(ipOf(got.packet)).toMatchObject({ src: x.world, dst: x.b });
		expect(headersOf(parse(got.packet))).toBe(1);
	}

	it('sends it on to the node that the envelope names', async () => {
		const sent = envelope({ hint: V4.node2 });
		expectSentOn(sent, await receive(sent), V4.node2, 0x123);
		expect(await node.flows()).toEqual([]);
	});

	it('sends it on to the node that its own table names, when the balancer has another table', async () => {
		const sent = envelope({});
		expectSentOn(sent, await receive(sent), V4.node3, backendTag(x.pod3, BACKEND_PORT.web));
		expect(await node.flows()).toEqual([]);
	});

	it('sends it on once more when the node that did had no better answer', async () => {
		const sent = envelope({ tag: sentOn(0, 'once') });
		expectSentOn(sent, await receive(sent), V4.node3, backendTag(x.pod3, BACKEND_PORT.web), 'twice');
		expect(await node.flows()).toEqual([]);
	});

	it('keeps it when it was sent on twice already', () => expectKept(envelope({ tag: sentOn(0, 'twice') })));

	it('keeps it when both tables say that it belongs here', () =>
		expectKept(envelope({ sport: sportFor(x, service, (slot) => !isMoved(slot)) })));

	it('asks its own table when the other backend named is one of its own', async () => {
		const sent = envelope({ hint: V4.node, tag: 0 });
		expectSentOn(sent, await receive(sent), V4.node3, backendTag(x.pod3, BACKEND_PORT.web));
	});

	it('keeps a new connection, and from then on all of it', async () => {
		await expectKept(envelope({ flags: 'S', hint: V4.node2 }));
		await expectKept(envelope({ hint: V4.node2 }));
		await expectKept(envelope({}));
	});

	it('keeps a new connection for a backend that only other slots of the table before name, from a balancer that is behind', async () => {
		const leaving = { ...service, dport: PORT.leaving };
		const sport = sportFor(x, leaving, isMoved);
		const tag = backendTag(x.b, BACKEND_PORT.web);
		await expectKept(envelope({ ...leaving, sport, tag, flags: 'S' }));
		await expectKept(envelope({ ...leaving, sport, tag }));
	});

	it('keeps a new connection for a backend that waits for its place in the tables, from a balancer that is ahead', async () => {
		const waiting = { ...service, dport: PORT.waiting };
		const sport = sportFor(x, waiting, () => true);
		const tag = backendTag(x.b, BACKEND_PORT.web);
		await expectKept(envelope({ ...waiting, sport, tag, flags: 'S' }));
		await expectKept(envelope({ ...waiting, sport, tag }));
	});

	it('sends on from its own clients too when it balances itself', async () => {
		const sent = fromClient(x, { ...service, sport });
		const got = await node.fromUplink(sent);
		expectSentOn(sent, got, V4.node3, backendTag(x.pod3, BACKEND_PORT.web));
	});
});
