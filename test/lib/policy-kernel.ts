/**
 * A kernel with the policy maps and the tables policy shares with others, and a stand-in for those others: it attaches local
 * pods and writes node addresses. Reads the maps as a program would.
 */

import type { Address } from '../../agent/model/address.ts';
import { addressBytes, familyOf } from '../../agent/model/address.ts';
import type { PolicyCompiler } from '../../agent/plan/policy/compiler.ts';
import type { Direction } from '../../agent/plan/policy/types.ts';
import type {
	PeerReferences,
	PolicyKernel,
	PolicyMapName,
	PolicySharedName,
} from '../../agent/reconcile/policy-kernel.ts';
import { rangesIn } from '../../agent/reconcile/policy-ranges.ts';
import {
	CidrKey,
	Endpoint,
	Identity,
	IpcacheEntry,
	IpcacheKey,
	PeerKind,
	PolicyKey,
	PolicyRange,
	PolicyRow,
	PolicySet,
	PolicySetFlag,
} from '../../native/abi/generated.ts';
import { FakeErrno } from './fake-kernel.ts';
import type { PolicyReader, SetView } from './policy-rows.ts';
import type { PolicyWorld } from './policy-simulator.ts';

export interface FakePolicyCall {
	readonly call: 'set' | 'delete' | 'barrier';
	readonly map: PolicyMapName | '';
}

interface FakeOptions {
	readonly rows?: number;
	readonly ranges?: number;
	readonly sets?: number;
	readonly ipcache?: number;
	readonly cidrs?: number;
	readonly fault?: (call: FakePolicyCall) => string | undefined;
}

const ENDPOINTS = 64;
const SETS = 256;
const latin1 = (bytes: Uint8Array): string =>
	Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));
const indexKey = (index: number): Uint8Array => new Uint8Array(new Uint32Array([index]).buffer);
const none16 = new Uint8Array(16);
const none6 = new Uint8Array(6);

export class FakePolicyKernel implements PolicyKernel, PolicyReader, PeerReferences {
	readonly log: FakePolicyCall[] = [];
	readonly nodeName = 'node-1';
	fault: ((call: FakePolicyCall) => string | undefined) | undefined;
	readonly #maps: Readonly<Record<Exclude<PolicyMapName, 'endpoints'>, Map<string, Uint8Array>>>;
	readonly #shared: Readonly<Record<PolicySharedName, DataView>>;
	readonly #rows: number;
	/** Entries that the reconciler can make. */
	readonly limits: { ipcache: number; cidrs: number };
	readonly #pods = new Map<string, { index: number; gen: number; addresses: readonly Address[] }>();
	readonly #nodes = new Map<string, number>([
		['node-2', 2],
		['node-3', 3],
	]);

	constructor(options: FakeOptions = {}) {
		this.#rows = options.rows ?? 4096;
		this.limits = { ipcache: options.ipcache ?? 65536, cidrs: options.cidrs ?? 65536 };
		this.fault = options.fault;
		this.#maps = { policy: new Map(), ipcache: new Map(), cidrs: new Map() };
		const memory = (bytes: number): DataView => new DataView(new ArrayBuffer(bytes));
		this.#shared = {
			policyset: memory((options.sets ?? SETS) * PolicySet.size),
			ranges: memory((options.ranges ?? 4096) * PolicyRange.size),
			endpoints: memory((ENDPOINTS + 1) * Endpoint.size),
		};
	}

	/** A copy as an agent that died would leave it. */
	clone(): FakePolicyKernel {
		const copy = new FakePolicyKernel({ rows: this.#rows, ranges: this.#shared.ranges.byteLength / PolicyRange.size });
		for (const map of Object.keys(this.#maps) as Exclude<PolicyMapName, 'endpoints'>[]) {
			for (const [key, value] of this.#maps[map]) copy.#maps[map].set(key, value.slice());
		}
		for (const map of Object.keys(this.#shared) as PolicySharedName[]) {
			new Uint8Array(copy.#shared[map].buffer).set(new Uint8Array(this.#shared[map].buffer));
		}
		for (const [pod, place] of this.#pods) copy.#pods.set(pod, place);
		return copy;
	}

	#enter(call: FakePolicyCall['call'], map: PolicyMapName | ''): void {
		const record = { call, map };
		this.log.push(record);
		const code = this.fault?.(record);
		if (code !== undefined) throw new FakeErrno(code);
	}

	/** Endpoints are written both through shared memory and by system calls. */
	#row(key: Uint8Array): Uint8Array {
		const index = new DataView(key.buffer, key.byteOffset).getUint32(0, true);
		return new Uint8Array(this.#shared.endpoints.buffer, index * Endpoint.size, Endpoint.size);
	}

	/** A row keeps its generation when it goes to another pod. */
	#writeRow(index: number, row: Omit<Endpoint, 'policyGen'>): void {
		const { policyGen } = Endpoint.decode(this.#row(indexKey(index)));
		this.#row(indexKey(index)).set(Endpoint.encode({ ...row, policyGen }));
	}

	mapGet(map: PolicyMapName, key: Uint8Array): Uint8Array | undefined {
		return map === 'endpoints' ? this.#row(key).slice() : this.#maps[map].get(latin1(key))?.slice();
	}

	mapSet(map: PolicyMapName, key: Uint8Array, value: Uint8Array): void {
		this.#enter('set', map);
		if (map === 'endpoints') {
			this.#row(key).set(value);
			return;
		}
		const name = latin1(key);
		if (map === 'policy' && !this.#maps.policy.has(name) && this.#maps.policy.size >= this.#rows)
			throw new FakeErrno('E2BIG');
		const limit = map === 'ipcache' || map === 'cidrs' ? this.limits[map] : Infinity;
		if (!this.#maps[map].has(name) && this.#maps[map].size >= limit) {
			throw new FakeErrno(map === 'cidrs' ? 'ENOSPC' : 'E2BIG');
		}
		this.#maps[map].set(name, value.slice());
	}

	mapDelete(map: PolicyMapName, key: Uint8Array): boolean {
		this.#enter('delete', map);
		if (map === 'endpoints') throw new FakeErrno('EINVAL');
		return this.#maps[map].delete(latin1(key));
	}

	*mapEntries(map: PolicyMapName): Iterable<readonly [Uint8Array, Uint8Array]> {
		if (map === 'endpoints') {
			for (let index = 0; index <= ENDPOINTS; index++) yield [indexKey(index), this.mapGet(map, indexKey(index))!];
			return;
		}
		for (const [key, value] of [...this.#maps[map]]) yield [bytesOf(key), value.slice()];
	}

	mapCapacity(map: PolicyMapName): number {
		if (map === 'ipcache' || map === 'cidrs') return this.limits[map];
		return map === 'policy' ? this.#rows : 65536;
	}

	shared(map: PolicySharedName): DataView {
		return this.#shared[map];
	}

	barrier(): void {
		this.#enter('barrier', '');
	}

	nodeRef(name: string): { index: number; gen: number } | undefined {
		const index = this.#nodes.get(name);
		return index === undefined ? undefined : { index, gen: 1 };
	}

	podRefs(pod: string): readonly { index: number; gen: number }[] {
		const place = this.#pods.get(pod);
		return place === undefined ? [] : [place];
	}

	podAt(index: number): string | undefined {
		return [...this.#pods].find(([, place]) => place.index === index)?.[0];
	}

	/** Attaches local pods with what the compiler says of them, and takes out those that are gone. */
	followPods(world: PolicyWorld, compiler: PolicyCompiler): void {
		const local = new Map([...compiler.localPods()].map(({ key, pod, set }) => [key, { pod, set }]));
		for (const [key, { index, addresses }] of [...this.#pods]) {
			const now = local.get(key)?.pod.addresses;
			if (now !== undefined && now.join() === addresses.join()) continue;
			for (const address of addresses)
				this.#maps.ipcache.delete(latin1(IpcacheKey.encode({ addr: addressBytes(address) })));
			this.#writeRow(index, Endpoint.decode(new Uint8Array(Endpoint.size)));
			this.#pods.delete(key);
		}
		for (const [key, { pod, set }] of local) {
			if (this.#pods.has(key)) continue;
			const used = new Set([...this.#pods.values()].map(({ index }) => index));
			const index = Array.from({ length: ENDPOINTS }, (_, i) => i + 1).find((i) => !used.has(i)) ?? 0;
			this.#pods.set(key, { index, gen: 1, addresses: pod.addresses });
			const endpoint = { ifindex: 100 + index, gen: 1, flags: 1, mac: none6, hostMac: none6 };
			const of = (family: 4 | 6) => pod.addresses.find((address) => familyOf(address) === family);
			const identityOf = (address = '') => compiler.book.entries.get(address)?.identity?.number ?? Identity.UNKNOWN_POD;
			const [v4, v6] = [of(4), of(6)];
			const own = { ...endpoint, identity: identityOf(v4), identity6: identityOf(v6), policySet: set?.number ?? 0 };
			const bytes = (address: string | undefined) => (address === undefined ? none16 : addressBytes(address));
			this.#writeRow(index, { ...own, addr4: bytes(v4), addr6: bytes(v6) });
			for (const address of pod.addresses) {
				const peer = { index, gen: 1, kind: PeerKind.LOCAL_POD };
				const identity = compiler.book.entries.get(address)?.identity?.number ?? Identity.UNKNOWN_POD;
				this.#putAddress(address, IpcacheEntry.encode({ peer, identity }));
			}
		}
		void world;
	}

	/** Writes node addresses that are missing, as the peers' reconciler does with the compiler's identities. */
	followNodes(world: PolicyWorld, compiler: PolicyCompiler): void {
		for (const { name, internalIps } of world.nodes.values()) {
			for (const address of internalIps) {
				if (this.#maps.ipcache.has(latin1(IpcacheKey.encode({ addr: addressBytes(address) })))) continue;
				const kind = name === this.nodeName ? PeerKind.HOST : PeerKind.REMOTE_NODE;
				const identity = compiler.book.entries.get(address)?.identity?.number ?? Identity.REMOTE_NODE;
				this.#putAddress(address, IpcacheEntry.encode({ peer: { index: 0, gen: 0, kind }, identity }));
			}
		}
		for (const [key, value] of this.#maps.ipcache) {
			const { kind } = IpcacheEntry.decode(value).peer;
			if (kind !== PeerKind.HOST && kind !== PeerKind.REMOTE_NODE) continue;
			const known = [...world.nodes.values()].some(({ internalIps }) =>
				internalIps.some((address) => latin1(addressBytes(address)) === key),
			);
			if (!known) this.#maps.ipcache.delete(key);
		}
	}

	#putAddress(address: Address, value: Uint8Array): void {
		this.#maps.ipcache.set(latin1(IpcacheKey.encode({ addr: addressBytes(address) })), value);
	}

	generation(pod: string): number {
		const index = this.#pods.get(pod)?.index ?? 0;
		return Endpoint.decode(this.#row(indexKey(index))).policyGen;
	}

	get rowCount(): number {
		return this.#maps.policy.size;
	}

	identityOf(address: Address): number {
		const bytes = addressBytes(address);
		const exact = this.#maps.ipcache.get(latin1(bytes));
		if (exact !== undefined) return IpcacheEntry.decode(exact).identity;
		let best = { length: -1, identity: Identity.WORLD as number };
		for (const [key, value] of this.#maps.cidrs) {
			const { prefixLen, addr } = CidrKey.decode(bytesOf(key));
			if (prefixLen > best.length && samePrefix(addr, bytes, prefixLen)) {
				best = { length: prefixLen, identity: IpcacheEntry.decode(value).identity };
			}
		}
		return best.identity;
	}

	setOf(address: Address): number | undefined {
		const entry = this.#maps.ipcache.get(latin1(addressBytes(address)));
		if (entry === undefined) return undefined;
		const { peer } = IpcacheEntry.decode(entry);
		if (peer.kind !== PeerKind.LOCAL_POD) return undefined;
		return Endpoint.decode(this.mapGet('endpoints', indexKey(peer.index)) as Uint8Array).policySet;
	}

	set(number: number): SetView | undefined {
		const view = this.#shared.policyset;
		if ((number + 1) * PolicySet.size > view.byteLength) return undefined;
		const { pods, others, flags } = PolicySet.decode(new Uint8Array(view.buffer), number * PolicySet.size);
		const of = (extents: readonly { base: number; count: number }[]): SetView['pods'] => ({
			ingress: this.#ranges(extents[0]),
			egress: this.#ranges(extents[1]),
		});
		const open: Record<Direction, boolean> = {
			ingress: (flags & PolicySetFlag.OPEN_INGRESS) !== 0,
			egress: (flags & PolicySetFlag.OPEN_EGRESS) !== 0,
		};
		return { open, closed: (flags & PolicySetFlag.CLOSED) !== 0, pods: of(pods), others: of(others) };
	}

	row(set: number, peer: number): Uint32Array | undefined {
		const bytes = this.#maps.policy.get(latin1(PolicyKey.encode({ set, peer })));
		if (bytes === undefined) return undefined;
		const { key, ranges } = PolicyRow.decode(bytes);
		if (key.set !== set || key.peer !== peer) throw new Error(`row ${set} ${peer} carries another key`);
		return this.#ranges(ranges) ?? new Uint32Array();
	}

	#ranges(extent: { base: number; count: number } | undefined): Uint32Array | undefined {
		if (extent === undefined || extent.count === 0) return undefined;
		const all = new Uint32Array(this.#shared.ranges.buffer);
		return all.slice(extent.base * 2, (extent.base + rangesIn(extent)) * 2);
	}

	/** What must never be: ranges that do not begin at 0 or are out of order. */
	brokenRows(): string[] {
		const broken: string[] = [];
		for (const key of this.#maps.policy.keys()) {
			const { set, peer } = PolicyKey.decode(bytesOf(key));
			const ranges = this.row(set, peer) ?? new Uint32Array();
			for (let i = 0; i < ranges.length; i += 2) {
				const good = i === 0 ? ranges[0] === 0 : (ranges[i] ?? 0) > (ranges[i - 2] ?? 0);
				if (!good) broken.push(`row ${set} ${peer}: range ${i / 2}`);
			}
			if (ranges.length === 0) broken.push(`row ${set} ${peer} has no ranges`);
		}
		return broken;
	}
}

function samePrefix(a: Uint8Array, b: Uint8Array, bits: number): boolean {
	for (let i = 0; i < 16; i++) {
		const keep = Math.min(8, Math.max(0, bits - i * 8));
		const mask = (0xff00 >> keep) & 0xff;
		if (((a[i] ?? 0) & mask) !== ((b[i] ?? 0) & mask)) return false;
	}
	return true;
}
