/** Policy of the test world's pods A (set 1) and B (set 2), written straight into the maps. */
import {
	CidrKey,
	Endpoint,
	IpcacheEntry,
	IpcacheKey,
	PolicyDenied,
	PolicyKey,
	PolicyRange,
	PolicyRow,
	PolicySet,
	PolicySetFlag,
	PolicyVerdictFlag,
} from '../../native/abi/generated.ts';
import { indexKey, PEER } from '../lib/dataplane.ts';
import { address16 } from '../lib/packet.ts';
import type { TestNode } from './world.ts';
import { POD_A, POD_B, PROTO } from './world.ts';

export type Rule = 'nothing' | 'all' | 'tcp8080' | 'audited';
export type Side = 'ingress' | 'egress';

/** Cookies of the rules, as tests see them in events, entries and counters. */
export const COOKIE = { nothing: 20, all: 21, tcp8080: 22, audited: 23 } as const satisfies Record<Rule, number>;
export const SET = { a: 1, b: 2 } as const;

const verdict = (rule: Rule, flags: number): number => (COOKIE[rule] << PolicyVerdictFlag.SHIFT) | flags;
const ALLOW = PolicyVerdictFlag.ALLOW;
const RANGES: readonly { readonly first: number; readonly verdict: number }[] = [
	{ first: 0, verdict: verdict('nothing', 0) },
	{ first: 0, verdict: verdict('all', ALLOW) },
	{ first: 0, verdict: verdict('nothing', 0) },
	{ first: (PROTO.TCP << 16) | 8080, verdict: verdict('tcp8080', ALLOW) },
	{ first: (PROTO.TCP << 16) | 8081, verdict: verdict('nothing', 0) },
	{ first: 0, verdict: verdict('audited', ALLOW | PolicyVerdictFlag.AUDIT) },
];
const EXTENT = {
	nothing: { base: 0, count: 1 },
	all: { base: 1, count: 1 },
	tcp8080: { base: 2, count: 3 },
	audited: { base: 5, count: 1 },
} as const satisfies Record<Rule, { base: number; count: number }>;

export interface SetRules {
	/** For pods without a row; undefined = nothing restricts this direction. */
	readonly ingress?: Rule;
	readonly egress?: Rule;
	/** For all others; default: as for pods. */
	readonly othersIngress?: Rule;
	readonly othersEgress?: Rule;
	readonly closed?: boolean;
}

export class Policies {
	readonly #node: TestNode;

	constructor(node: TestNode) {
		this.#node = node;
	}

	/** Ranges, and identities of pods of other nodes and of the world. */
	async start(): Promise<void> {
		const { dataplane } = this.#node;
		for (const [i, range] of RANGES.entries()) {
			await dataplane.set('ranges', indexKey(i), PolicyRange.encode(range));
		}
		await this.reset();
	}

	/** No policies; pods have their sets, whose rows allow everything. */
	async reset(): Promise<void> {
		await this.#node.dataplane.clear('policy');
		await this.set('a', {});
		await this.set('b', {});
		await this.endpoint('a', {});
		await this.endpoint('b', {});
	}

	async set(pod: 'a' | 'b', rules: SetRules): Promise<void> {
		const extent = (rule: Rule | undefined) => (rule === undefined ? { base: 0, count: 0 } : EXTENT[rule]);
		const value = PolicySet.encode({
			pods: [extent(rules.ingress), extent(rules.egress)],
			others: [extent(rules.othersIngress ?? rules.ingress), extent(rules.othersEgress ?? rules.egress)],
			flags:
				(rules.ingress === undefined ? PolicySetFlag.OPEN_INGRESS : 0) |
				(rules.egress === undefined ? PolicySetFlag.OPEN_EGRESS : 0) |
				(rules.closed ? PolicySetFlag.CLOSED : 0),
		});
		await this.#node.dataplane.set('policyset', indexKey(SET[pod]), value);
	}

	async row(pod: 'a' | 'b', side: Side, identity: number, rule: Rule, self = false): Promise<void> {
		const key = { set: SET[pod], peer: identity * 4 + (self ? 2 : 0) + (side === 'egress' ? 1 : 0) };
		await this.#node.dataplane.set('policy', PolicyKey.encode(key), PolicyRow.encode({ key, ranges: EXTENT[rule] }));
	}

	/** Changes the pod's row of `endpoints`, which else is as the world made it, with its set. */
	async endpoint(pod: 'a' | 'b', changes: Partial<Endpoint>): Promise<void> {
		const fixture = pod === 'a' ? POD_A : POD_B;
		const identity = 256 + fixture.index;
		const own = { flags: fixture.flags, identity, identity6: identity, policySet: SET[pod] };
		await this.#change(pod, { ...own, ...changes });
	}

	async #change(pod: 'a' | 'b', changes: Partial<Endpoint>): Promise<void> {
		const rows = await this.#node.dataplane.entries('endpoints');
		const key = indexKey((pod === 'a' ? POD_A : POD_B).index);
		const found = rows.find((row) => Buffer.compare(row.key, key) === 0);
		const old = Endpoint.decode(found?.value ?? new Uint8Array(Endpoint.size));
		await this.#node.dataplane.set('endpoints', key, Endpoint.encode({ ...old, ...changes }));
	}

	/** Tells flows of the pod that policies have changed. */
	async bump(pod: 'a' | 'b', value: number): Promise<void> {
		await this.#change(pod, { policyGen: value });
	}

	/** Gives an address outside an identity of its own. */
	async identify(address: string, identity: number): Promise<void> {
		const prefixLen = 128;
		const value = IpcacheEntry.encode({ peer: { index: 0, gen: 0, kind: PEER.WORLD }, identity });
		await this.#node.dataplane.set('cidrs', CidrKey.encode({ prefixLen, addr: address16(address) }), value);
	}

	/** Identity of an exact address of a pod of another node. */
	async remotePod(address: string, node: number, identity: number): Promise<void> {
		const value = IpcacheEntry.encode({ peer: { index: node, gen: 1, kind: PEER.REMOTE_POD }, identity });
		await this.#node.dataplane.set('ipcache', IpcacheKey.encode({ addr: address16(address) }), value);
	}

	/** Packets that the rule has dropped, or would have. */
	async denied(rule: Rule): Promise<bigint> {
		const key = indexKey(COOKIE[rule]);
		const rows = await this.#node.dataplane.entries('denied');
		const found = rows.find((row) => Buffer.compare(row.key, key) === 0);
		return PolicyDenied.decode(found?.value ?? new Uint8Array(PolicyDenied.size)).packets;
	}
}
