/**
 * Keeps the policy maps, and the identities in other tables, equal to what the compiler says. Synchronous; one call at a time. An
 * operation that fails ends a run: what was done is safe as it is, and the next run compares everything with the kernel.
 */
import { CidrKey, Endpoint, IpcacheEntry, IpcacheKey, PeerKind } from '../../native/abi/generated.ts';
import type { Address, Cidr } from '../model/address.ts';
import { addressOfBytes, networkAddress } from '../model/address.ts';
import { errorCode, errorMessage, FairleadError } from '../model/errors.ts';
import type { PolicyCompiler, PolicyHints, PolicyInput } from '../plan/policy/compiler.ts';
import { addressBits, cidrBits, compareCidrLengths } from '../plan/policy/prefixes.ts';
import { enforces, type PolicySet } from '../plan/policy/sets.ts';
import type { AddressChange, PodChange, PolicyStep } from '../plan/policy/types.ts';
import type { PolicyMemory } from './policy-apply.ts';
import { applyPolicyOp, policyMemory } from './policy-apply.ts';
import { PolicyDiff } from './policy-diff.ts';
import type { PeerReferences, PolicyKernel, PolicyOp } from './policy-kernel.ts';
import type { PolicyState, UnplacedOp } from './policy-state.ts';
import { peerOfKey, readPolicyState } from './policy-state.ts';

export interface PolicyReport {
	/** Operations that were done. */
	readonly ops: number;
	/** What could not be done; empty = the maps are as wanted. */
	readonly problems: readonly string[];
	/** Those of the problems that are for want of room: they keep nothing else from being as wanted. */
	readonly closed: readonly string[];
	/** The maps were read and compared as a whole. */
	readonly full: boolean;
	readonly tookMs: number;
}

/** A set that denies everything because it could not be programmed. */
export interface ClosedSet {
	readonly policies: readonly string[];
	readonly pods: readonly string[];
	readonly reason: string;
}

export interface PolicyReconcilerOptions {
	readonly kernel: PolicyKernel;
	readonly compiler: PolicyCompiler;
	readonly refs: PeerReferences;
	/** Sees every list of operations before it is done (tests, trace log). */
	readonly onOps?: (ops: readonly PolicyOp[]) => void;
	readonly now?: () => number;
}

const NO_STEP: PolicyStep = {
	rows: [],
	sets: new Map(),
	addresses: [],
	cidrs: [],
	pods: [],
	bump: new Set(),
	retiredSets: [],
	retiredIdentities: [],
};

export class PolicyReconciler {
	readonly #kernel: PolicyKernel;
	readonly #compiler: PolicyCompiler;
	readonly #refs: PeerReferences;
	readonly #memory: PolicyMemory;
	readonly #onOps: (ops: readonly PolicyOp[]) => void;
	readonly #now: () => number;
	/** undefined = to be read from the kernel: at start and after a failure. */
	#state: PolicyState | undefined;

	constructor(options: PolicyReconcilerOptions) {
		this.#kernel = options.kernel;
		this.#compiler = options.compiler;
		this.#refs = options.refs;
		this.#memory = policyMemory(options.kernel);
		this.#onOps = options.onOps ?? (() => undefined);
		this.#now = options.now ?? (() => performance.now());
	}

	/** Takes changes in and does what follows from them. The first call must bring everything there is. */
	update(input: PolicyInput): PolicyReport {
		const start = this.#now();
		const steps = this.#compiler.apply(input);
		return this.#run(steps, start);
	}

	/** Compares everything if the last run failed; else does nothing. */
	bringUp(): PolicyReport {
		return this.isBehind ? this.resync() : this.#report(0, [], false, this.#now());
	}

	/** Compares everything with a fresh read of the kernel. */
	resync(): PolicyReport {
		this.#state = undefined;
		return this.#run([], this.#now());
	}

	/** The maps are not known, or not as wanted: a run compares everything. */
	get isBehind(): boolean {
		return this.#state === undefined;
	}

	/** Writes again what refers to rows of these nodes, which have moved. */
	referAgain(nodes: ReadonlySet<string>): PolicyReport {
		const { book, identities } = this.#compiler;
		const addresses: AddressChange[] = [];
		for (const { address, bits, identity, owner } of book.entries.values()) {
			if (identity === null || owner?.kind !== 'pod' || !nodes.has(owner.node)) continue;
			addresses.push({
				address,
				entry: { identity: identity.number, owner },
				stranger: identities.unknownPodAt(bits),
			});
		}
		const cidrs = [...identities.cidrs.values()]
			.filter(({ row }) => row.node !== null && nodes.has(row.node))
			.map(({ row }) => ({ cidr: row.cidr, row }));
		const bump = new Set([...this.#compiler.localPods()].map(({ key }) => key));
		return this.#run([{ ...NO_STEP, addresses, cidrs, bump }], this.#now());
	}

	/** Writes what was said of pods whose rows have come to be since. */
	writePods(keys: Iterable<string>): PolicyReport {
		const { book } = this.#compiler;
		const pods: PodChange[] = [];
		const addresses: AddressChange[] = [];
		for (const pod of keys) {
			const known = this.#compiler.endpointOf(pod);
			if (known === undefined) continue;
			pods.push({ pod, ...known });
			for (const [address, identity] of known.identities) {
				const entry = book.entries.get(address);
				if (!entry?.owner) continue;
				addresses.push({ address, entry: { identity, owner: entry.owner }, stranger: identity });
			}
		}
		const step = { ...NO_STEP, addresses, pods, bump: new Set(pods.map(({ pod }) => pod)) };
		return this.#run([step], this.#now());
	}

	/** All flows are judged anew: what they were judged by has changed outside of this. */
	judgeAgain(): PolicyReport {
		const bump = new Set([...this.#compiler.localPods()].map(({ key }) => key));
		return this.#run([{ ...NO_STEP, bump }], this.#now());
	}

	/** Something waits for a grace period. */
	get hasGarbage(): boolean {
		const state = this.#state;
		if (state === undefined) return false;
		const waiting = state.garbage.size + state.retiredSets.size + state.retiredIdentities.size + state.bumped.size;
		return waiting + state.ranges.quarantined > 0;
	}

	/**
	 * Waits for the grace period (milliseconds, blocking) and frees what is out of use.
	 * @param reopen  try closed sets again, which leaves something to free if there is no room
	 */
	reclaim(reopen = true): PolicyReport {
		const start = this.#now();
		const state = this.#state;
		if (state === undefined) return this.#run([], start);
		this.#kernel.barrier();
		state.ranges.release();
		const diff = this.#diff(state);
		const freed = diff.collect();
		if (reopen) this.#reopen(state, diff);
		const problems: string[] = [];
		const ops = this.#apply(diff, problems);
		if (problems.length === 0) this.#compiler.free(freed);
		return this.#report(ops, problems, false, start);
	}

	/** Sets that deny everything for want of room, or report nothing, if all of their policies are in audit mode. */
	closed(): readonly ClosedSet[] {
		const full = [...(this.#state?.closed ?? [])].map(([number, reason]) => {
			const set = this.#compiler.setByNumber(number);
			return { policies: set?.policies ?? [], pods: [...(set?.pods ?? [])].sort(), reason };
		});
		const broken = [...this.#compiler.broken()].map(([name, why]) => {
			const sets = [...this.#compiler.sets()].filter(({ policies }) => policies.includes(name));
			const pods = new Set(sets.flatMap((set) => [...set.pods]));
			return { policies: [name], pods: [...pods].sort(), reason: cannotCompile(why) };
		});
		return [...full, ...broken];
	}

	/** Occupancy; undefined before the first run and after a failure. */
	usage(): Readonly<Record<'rows' | 'ranges', { readonly used: number; readonly capacity: number }>> | undefined {
		const state = this.#state;
		if (state === undefined) return undefined;
		const { ranges } = state;
		return {
			rows: { used: state.rows.size, capacity: state.rowCapacity },
			ranges: { used: ranges.used, capacity: ranges.capacity },
		};
	}

	#run(steps: readonly PolicyStep[], start: number): PolicyReport {
		const full = this.#state === undefined;
		const state = this.#state ?? readPolicyState(this.#kernel, this.#memory);
		this.#state = state;
		const diff = this.#diff(state);
		for (const step of full ? [this.#fullStep(state)] : steps) diff.addStep(step);
		this.#reopen(state, diff);
		const problems: string[] = [];
		const ops = this.#apply(diff, problems);
		return this.#report(ops, problems, full, start);
	}

	#report(ops: number, failures: readonly string[], full: boolean, start: number): PolicyReport {
		const closed = [...(this.#state?.closed ?? [])].map(([number, reason]) => {
			const set = this.#compiler.setByNumber(number);
			const what = set !== undefined && !enforces(set) ? 'report nothing about' : 'deny everything to';
			return `policies ${set?.policies.join(', ') ?? number} ${what} ${set?.pods.size ?? 0} pods: ${reason}`;
		});
		const addresses = [...(this.#state?.unplaced.values() ?? [])].filter(({ kind }) => kind === 'address-set').length;
		if (addresses > 0) closed.push(noRoomFor(addresses, this.#kernel));
		for (const [name, why] of this.#compiler.broken())
			closed.push(`policy ${name} denies everything: ${cannotCompile(why)}`);
		return { ops, problems: [...failures, ...closed], closed, full, tookMs: this.#now() - start };
	}

	/** Tries again to program closed sets, unless a prefix that they tell apart has no room still. */
	#reopen(state: PolicyState, diff: PolicyDiff): void {
		if (state.closed.size === 0) return;
		const blocked = new Set(this.#blockedSets(state).keys());
		for (const number of [...state.closed.keys()]) {
			const set = this.#compiler.setByNumber(number);
			if (set !== undefined && !blocked.has(number)) diff.reopen(number, set.state, set.rows);
			if (state.closed.has(number)) diff.keepClosed(number);
		}
	}

	#diff(state: PolicyState): PolicyDiff {
		return new PolicyDiff(state, (number) => {
			const set = this.#compiler.setByNumber(number);
			return set === undefined || enforces(set);
		});
	}

	#apply(diff: PolicyDiff, problems: string[]): number {
		const retried = this.#retryUnplaced();
		let done = retried + this.#applyOps(diff, problems);
		const state = this.#state;
		if (state === undefined || state.unplaced.size + retried === 0) return done;
		const after = this.#diff(state);
		for (const [set, reason] of this.#blockedSets(state)) after.close(set, reason);
		if (retried > 0) after.bump([...this.#compiler.localPods()].map(({ key }) => key));
		done += this.#applyOps(after, problems);
		return done;
	}

	#applyOps(diff: PolicyDiff, problems: string[]): number {
		diff.bumpTurned((set) => this.#compiler.setByNumber(set)?.pods ?? []);
		this.#onOps(diff.ops);
		let done = 0;
		for (const op of diff.ops) {
			try {
				this.#unplaced?.delete('address' in op ? op.address : 'cidr' in op ? op.cidr : '');
				applyPolicyOp(op, this.#kernel, this.#memory, this.#refs);
				done++;
			} catch (thrown) {
				if (this.#setAside(op, thrown)) continue;
				problems.push(failure(op, thrown).message);
				this.#state = undefined;
				break;
			}
		}
		return done;
	}

	get #unplaced(): PolicyState['unplaced'] | undefined {
		return this.#state?.unplaced;
	}

	/**
	 * A full table of addresses is no reason to leave out the rest. A pod without an entry is a pod that is not known; sets that tell a
	 * prefix apart that has none are closed.
	 */
	#setAside(op: PolicyOp, thrown: unknown): boolean {
		if ((op.kind !== 'address-set' && op.kind !== 'cidr-set') || !isFull(thrown)) return false;
		this.#unplaced?.set(op.kind === 'address-set' ? op.address : op.cidr, op);
		return true;
	}

	/** @returns entries that had room now */
	#retryUnplaced(): number {
		const unplaced = this.#unplaced ?? new Map<string, UnplacedOp>();
		let done = 0;
		for (const [key, op] of unplaced) {
			try {
				applyPolicyOp(op, this.#kernel, this.#memory, this.#refs);
			} catch {
				break;
			}
			unplaced.delete(key);
			done++;
		}
		return done;
	}

	/** Sets whose rules tell a prefix apart that has no entry, and why. */
	#blockedSets(state: PolicyState): Map<number, string> {
		const blocked = new Map<number, string>();
		for (const op of state.unplaced.values()) {
			if (op.kind !== 'cidr-set') continue;
			const prefix = this.#compiler.matchers.prefixes.find(cidrBits(op.cidr));
			const programs = [...(prefix?.matchers ?? [])].flatMap((matcher) => [...matcher.programs]);
			const reason = `map cidrs: no room for ${op.cidr}, all ${this.#kernel.mapCapacity('cidrs')} entries used`;
			for (const { sets } of programs) for (const set of sets) blocked.set(set.number, reason);
		}
		return blocked;
	}

	/** All that is wanted as one step, and what the maps hold beyond it. */
	#fullStep(state: PolicyState): PolicyStep {
		const sets = [...this.#compiler.sets()];
		const { book, identities } = this.#compiler;
		const live = new Set([...identities.table.all()].map(({ number }) => number));
		const localPods = [...this.#compiler.localPods()];
		return {
			rows: sets.flatMap((set) => allRows(set, state)),
			sets: new Map(sets.map((set) => [set.number, set.state])),
			addresses: [
				...[...book.entries.values()].flatMap(({ address, bits, identity, owner }) => {
					if (identity === null || owner === null) return [];
					return [{ address, entry: { identity: identity.number, owner }, stranger: identities.unknownPodAt(bits) }];
				}),
				...this.#strangers().map((address) => {
					return { address, entry: null, stranger: identities.unknownPodAt(addressBits(address)) };
				}),
			],
			cidrs: this.#allCidrs(),
			pods: localPods.map(({ key, pod, set }) => {
				const own = pod.addresses.flatMap((address): [Address, number][] => {
					const identity = book.entries.get(address)?.identity;
					return identity ? [[address, identity.number]] : [];
				});
				const domains = set?.programs.egress.domains ?? false;
				return { pod: key, set: set?.number ?? 0, identities: new Map(own), domains };
			}),
			bump: new Set(localPods.map(({ key }) => key)),
			retiredSets: [...state.sets.keys()].filter((number) => this.#compiler.setByNumber(number) === undefined),
			retiredIdentities: [...state.byIdentity.keys()].filter((number) => !live.has(number)),
		};
	}

	/** Addresses of pods that are no pod's any more. */
	#strangers(): Address[] {
		const { entries } = this.#compiler.book;
		const found: Address[] = [];
		for (const [key, value] of this.#kernel.mapEntries('ipcache')) {
			const { kind } = IpcacheEntry.decode(value).peer;
			if (kind !== PeerKind.REMOTE_POD && kind !== PeerKind.LOCAL_POD) continue;
			const address = addressOfBytes(IpcacheKey.decode(key).addr);
			if (!entries.has(address)) found.push(address);
		}
		return found;
	}

	#allCidrs(): PolicyStep['cidrs'] {
		const wanted = this.#compiler.identities.cidrs;
		const sets = [...wanted.values()]
			.map(({ row }) => ({ cidr: row.cidr, row }))
			.sort((a, b) => compareCidrLengths(a.cidr, b.cidr));
		const gone = [...readCidrs(this.#kernel).keys()].filter((cidr) => !wanted.has(cidr));
		return [...sets, ...gone.map((cidr) => ({ cidr, row: null }))];
	}
}

function allRows(set: PolicySet, state: PolicyState): PolicyStep['rows'] {
	const extra = [...(state.bySet.get(set.number) ?? [])].map(peerOfKey).filter((peer) => !set.rows.has(peer));
	return [
		...[...set.rows].map(([peer, row]) => ({ set: set.number, peer, row })),
		...extra.map((peer) => ({ set: set.number, peer, row: null })),
	];
}

function readCidrs(kernel: PolicyKernel): Map<Cidr, number> {
	const found = new Map<Cidr, number>();
	for (const [key, value] of kernel.mapEntries('cidrs')) {
		const { prefixLen, addr } = CidrKey.decode(key);
		const address = addressOfBytes(addr);
		const bits = prefixLen - (address.includes(':') ? 0 : 96);
		found.set(`${networkAddress(address, bits)}/${bits}`, IpcacheEntry.decode(value).identity);
	}
	return found;
}

/**
 * Numbers that an earlier run has left in the kernel, for a compiler that is to go on with them.
 * @param podAt  which pod has a row of `endpoints`; undefined = none that is known
 */
export function readPolicyHints(
	kernel: PolicyKernel,
	podAt: (index: number, gen: number) => string | undefined,
): PolicyHints {
	const addresses = new Map<Address, number>();
	for (const [key, value] of kernel.mapEntries('ipcache')) {
		addresses.set(addressOfBytes(IpcacheKey.decode(key).addr), IpcacheEntry.decode(value).identity);
	}
	const sets = new Map<string, number>();
	for (const [key, value] of kernel.mapEntries('endpoints')) {
		const index = new DataView(key.buffer, key.byteOffset).getUint32(0, true);
		const { ifindex, gen, policySet } = Endpoint.decode(value);
		const pod = ifindex === 0 || policySet === 0 ? undefined : podAt(index, gen);
		if (pod !== undefined) sets.set(pod, policySet);
	}
	return { addresses, cidrs: readCidrs(kernel), sets };
}

function cannotCompile(why: string): string {
	return `it cannot be compiled: ${why}`;
}

function noRoomFor(addresses: number, kernel: PolicyKernel): string {
	const full = `all ${kernel.mapCapacity('ipcache')} entries used; raise maps.ipcache`;
	return `map ipcache: ${addresses} pods of other nodes are judged as pods that are not known: ${full}`;
}

function isFull(thrown: unknown): boolean {
	const code = errorCode(thrown);
	return code === 'E2BIG' || code === 'ENOSPC';
}

function failure(op: PolicyOp, thrown: unknown): FairleadError {
	const code = errorCode(thrown) ?? errorMessage(thrown);
	const what = Object.entries(op)
		.filter(([, value]) => typeof value !== 'object')
		.map(([key, value]) => `${key} ${value}`)
		.join(' ');
	return new FairleadError(isFull(thrown) ? 'MAP_FULL' : 'MAP_WRITE', `policy maps: cannot do ${what}: ${code}`, {
		cause: thrown,
	});
}
