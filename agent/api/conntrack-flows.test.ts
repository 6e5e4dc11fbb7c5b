import { describe, expect, it } from 'vitest';
import { CtEntry, CtFlags, CtKey, L4Proto } from '../../native/abi/generated.ts';
import type { TrackedEntry } from '../kernel/ct-dump.ts';
import { addressBytes } from '../model/address.ts';
import { flowsOf, indexReplies } from './conntrack-flows.ts';

type Side = readonly [address: string, port: number];
const CLIENT: Side = ['10.1.0.5', 40000];
const VIP: Side = ['10.96.0.3', 80];
const BACKEND: Side = ['10.1.1.7', 8080];
const NODE: Side = ['192.168.1.2', 61000];
const { SVC_FORWARD, SVC_REPLY, MASQUERADE, ESTABLISHED, CLOSING, HOST_LOOP, SHARED } = CtFlags;

interface Given {
	readonly from: Side;
	readonly to: Side;
	readonly flags: number;
	readonly xlate: Side;
	readonly snatPort?: number;
	readonly client?: string;
	readonly protocol?: number;
	readonly values?: Partial<CtEntry>;
}

/** The initiator is the `hi` side in every case here; see ct_key. */
function tracked({
	from,
	to,
	flags,
	xlate,
	snatPort = 0,
	client,
	protocol = L4Proto.TCP,
	values,
}: Given): TrackedEntry {
	return {
		key: {
			...CtKey.decode(new Uint8Array(CtKey.size)),
			...{ hi: addressBytes(from[0]), hiPort: from[1], lo: addressBytes(to[0]), loPort: to[1], proto: protocol },
		},
		entry: {
			...CtEntry.decode(new Uint8Array(CtEntry.size)),
			...{ flags: flags | CtFlags.INITIATOR_IS_HI, xlateAddr: addressBytes(xlate[0]), xlatePort: xlate[1], snatPort },
			...(client === undefined ? {} : { client: addressBytes(client) }),
			...values,
		},
	};
}

async function flows(...entries: TrackedEntry[]): Promise<TrackedEntry[]> {
	const dump = {
		count: entries.length,
		at: (i: number): TrackedEntry => {
			const entry = entries[i];
			if (entry === undefined) throw new RangeError(`entry ${i}`);
			return entry;
		},
	};
	return [...flowsOf(dump, await indexReplies(dump, async () => undefined))];
}

const forward = (more: Partial<Given> = {}): TrackedEntry =>
	tracked({ from: CLIENT, to: VIP, flags: SVC_FORWARD, xlate: BACKEND, ...more });
const reply = (more: Partial<Given> = {}): TrackedEntry =>
	tracked({ from: CLIENT, to: BACKEND, flags: SVC_REPLY, xlate: VIP, ...more });

describe('flowsOf', () => {
	it('joins both entries of a service flow, whatever their order', async () => {
		const a = forward({ values: { packets: [5, 0], bytes: [500n, 0n], lastSeen: 100 } });
		const b = reply({
			flags: SVC_REPLY | ESTABLISHED,
			values: { packets: [1, 4], bytes: [60n, 400n], lastSeen: 2 ** 32 - 5 },
		});
		for (const given of [
			[a, b],
			[b, a],
		]) {
			const [flow, ...others] = await flows(...given);
			expect(others).toEqual([]);
			expect(flow?.key).toEqual(a.key);
			expect(flow?.entry).toEqual({
				...a.entry,
				flags: a.entry.flags | ESTABLISHED,
				packets: [5, 4],
				bytes: [500n, 400n],
				lastSeen: 100,
			});
		}
	});

	it('says that a flow is over, and when it was used last, if one entry knows', async () => {
		const [flow] = await flows(
			forward({ values: { lastSeen: 100 } }),
			reply({ flags: SVC_REPLY | CLOSING, values: { lastSeen: 101 } }),
		);
		expect(flow?.entry).toMatchObject({ flags: forward().entry.flags | CLOSING, lastSeen: 101 });
	});

	it.each<[string, TrackedEntry, TrackedEntry]>([
		[
			'whose client has another port towards the backend',
			forward({ snatPort: 33000 }),
			reply({ from: [CLIENT[0], 33000], snatPort: CLIENT[1] }),
		],
		[
			"whose key serves the client's own flow to the backend as well",
			forward(),
			reply({ flags: SVC_REPLY | SHARED, snatPort: 34000 }),
		],
		[
			'with the address of the node',
			forward({ flags: SVC_FORWARD | MASQUERADE, snatPort: NODE[1] }),
			reply({ from: NODE, flags: SVC_REPLY | MASQUERADE, client: CLIENT[0], snatPort: CLIENT[1] }),
		],
		[
			'to the world',
			forward({ flags: MASQUERADE, xlate: VIP, snatPort: NODE[1] }),
			reply({ from: NODE, to: VIP, flags: SVC_REPLY | MASQUERADE, client: CLIENT[0], snatPort: CLIENT[1] }),
		],
		[
			'of echo requests, which have an identifier instead of ports',
			forward({
				...{ from: [CLIENT[0], 7], to: [VIP[0], 7], protocol: L4Proto.ICMP },
				...{ flags: MASQUERADE, xlate: [VIP[0], 7], snatPort: NODE[1] },
			}),
			reply({
				...{ from: NODE, to: [VIP[0], NODE[1]], protocol: L4Proto.ICMP },
				...{ flags: SVC_REPLY | MASQUERADE, xlate: [VIP[0], 7], client: CLIENT[0], snatPort: 7 },
			}),
		],
	])('joins a flow %s', async (_name, a, b) => {
		expect((await flows(a, b)).map(({ key }) => key)).toEqual([a.key]);
	});

	it.each<[string, TrackedEntry, TrackedEntry]>([
		['of another backend', forward({ xlate: ['10.1.1.8', 8080] }), reply()],
		['of another port of the backend', forward({ xlate: [BACKEND[0], 8081] }), reply()],
		[
			'of another port of the node',
			forward({ flags: SVC_FORWARD | MASQUERADE, snatPort: 61001 }),
			reply({ from: NODE, flags: SVC_REPLY | MASQUERADE, client: CLIENT[0], snatPort: CLIENT[1] }),
		],
		['of another protocol', forward({ protocol: L4Proto.UDP }), reply()],
		[
			'of the node to itself',
			forward({ flags: SVC_FORWARD | HOST_LOOP }),
			reply({ from: [VIP[0], CLIENT[1]], flags: SVC_REPLY | HOST_LOOP }),
		],
		['beside a flow without translation', tracked({ from: CLIENT, to: VIP, flags: 0, xlate: ['::', 0] }), reply()],
	])('leaves an entry for replies alone %s', async (_name, a, b) => {
		expect(await flows(b, a)).toEqual([a, b]);
	});
});
