/**
 * Walks compiled policy the way the programs do: set row, hash look-up, search in sorted ranges. The source of the rows is either
 * the compiler's steps or the bytes of kernel maps.
 */

import type { Address, Cidr } from '../../agent/model/address.ts';
import { cidrContains, cidrParts } from '../../agent/model/address.ts';
import type { Direction, PolicyStep, Row, SetState } from '../../agent/plan/policy/types.ts';
import { isPodIdentity, peerWord } from '../../agent/plan/policy/types.ts';
import { Identity, PolicyCookie, PolicyPeer, PolicyVerdictFlag } from '../../native/abi/generated.ts';
import type { PolicyFlow } from './policy-simulator.ts';

export interface SetView {
	readonly open: Readonly<Record<Direction, boolean>>;
	readonly closed: boolean;
	/** Pairs of first and verdict; undefined = everything is denied. */
	readonly pods: Readonly<Record<Direction, Uint32Array | undefined>>;
	readonly others: Readonly<Record<Direction, Uint32Array | undefined>>;
}

/** The maps as a program sees them. */
export interface PolicyReader {
	/** ipcache, else cidrs, else the world. */
	identityOf(address: Address): number;
	/** Policy set of a local pod; undefined = the address is no local pod's. */
	setOf(address: Address): number | undefined;
	set(number: number): SetView | undefined;
	row(set: number, peer: number): Uint32Array | undefined;
}

export interface RowVerdict {
	readonly allowed: boolean;
	readonly cookie: number;
	/** Let through only because of audit mode. */
	readonly audited?: boolean;
}

const OPEN: RowVerdict = { allowed: true, cookie: PolicyCookie.NO_POLICY };
const CLOSED: RowVerdict = { allowed: false, cookie: PolicyCookie.CLOSED };

/** The last range that starts at or before proto << 16 | port. */
function search(ranges: Uint32Array | undefined, wanted: number): RowVerdict {
	if (ranges === undefined || ranges.length === 0) return CLOSED;
	let low = 0;
	let high = ranges.length / 2;
	while (high - low > 1) {
		const middle = (low + high) >> 1;
		if ((ranges[middle * 2] ?? 0) <= wanted) low = middle;
		else high = middle;
	}
	const verdict = ranges[low * 2 + 1] ?? 0;
	const has = (flag: number): boolean => (verdict & flag) !== 0;
	const cookie = verdict >>> PolicyVerdictFlag.SHIFT;
	return { allowed: has(PolicyVerdictFlag.ALLOW), cookie, audited: has(PolicyVerdictFlag.AUDIT) };
}

interface Question {
	readonly set: number;
	readonly identity: number;
	readonly direction: Direction;
	readonly self: boolean;
	readonly proto: number;
	readonly port: number;
}

export function rowVerdict(reader: PolicyReader, question: Question): RowVerdict {
	const { set: number, identity, direction, self, proto, port } = question;
	if (number === 0) return OPEN;
	if (direction === 'ingress' && identity === Identity.HOST) return { allowed: true, cookie: PolicyCookie.HOST };
	const set = reader.set(number);
	if (set === undefined || set.closed) return CLOSED;
	if (set.open[direction]) return OPEN;
	const fallback = (isPodIdentity(identity) ? set.pods : set.others)[direction];
	const row = reader.row(number, peerWord(identity, direction, self));
	if (row === undefined && self) return { allowed: true, cookie: PolicyCookie.SELF };
	return search(row ?? fallback, (proto << 16) | port);
}

export interface RowFlow {
	readonly egress: RowVerdict;
	readonly ingress: RowVerdict;
}

/** Both verdicts of a flow. Packets with one of the node's own addresses as source come from the node. */
export function rowFlow(reader: PolicyReader, flow: PolicyFlow, ownAddresses: ReadonlySet<Address>): RowFlow {
	const self = flow.from === flow.to;
	if (self && flow.viaService !== true) return { egress: OPEN, ingress: OPEN };
	const judge = (direction: Direction, subject: Address, peer: Address): RowVerdict => {
		const set = reader.setOf(subject);
		if (set === undefined) return OPEN;
		const local = direction === 'ingress' && ownAddresses.has(peer);
		const identity = local ? Identity.HOST : reader.identityOf(peer);
		return rowVerdict(reader, { set, identity, direction, self, proto: flow.proto, port: flow.port });
	};
	return { egress: judge('egress', flow.from, flow.to), ingress: judge('ingress', flow.to, flow.from) };
}

/** What the maps would hold if every part of every step so far had been written. */
export class PlannedMaps implements PolicyReader {
	readonly #rows = new Map<string, Row>();
	readonly #sets = new Map<number, SetState>();
	readonly #addresses = new Map<Address, number>();
	readonly #cidrs = new Map<Cidr, number>();
	readonly #pods = new Map<string, { set: number; addresses: readonly Address[] }>();
	readonly #podOf = new Map<Address, string>();

	/** Writes in the order of the step; `seen` is called after each element. */
	apply(step: PolicyStep, seen: () => void = () => undefined): void {
		for (const { set, peer, row } of step.rows) {
			const key = `${set} ${peer}`;
			if (row === null) this.#rows.set(key, this.#default(step, set, peer));
			else this.#rows.set(key, row);
			seen();
		}
		for (const [number, state] of step.sets) {
			this.#sets.set(number, state);
			seen();
		}
		for (const { address, entry } of step.addresses) {
			if (entry === null) this.#addresses.delete(address);
			else this.#addresses.set(address, entry.identity);
			seen();
		}
		for (const { cidr, row } of step.cidrs) {
			if (row === null) this.#cidrs.delete(cidr);
			else this.#cidrs.set(cidr, row.identity);
			seen();
		}
		for (const { pod, set, identities } of step.pods) {
			for (const address of this.#pods.get(pod)?.addresses ?? []) {
				if (this.#podOf.get(address) === pod) this.#podOf.delete(address);
			}
			if (set === null) this.#pods.delete(pod);
			else this.#pods.set(pod, { set, addresses: [...identities.keys()] });
			if (set !== null) for (const address of identities.keys()) this.#podOf.set(address, pod);
			seen();
		}
		// After the grace period.
		for (const { set, peer, row } of step.rows) if (row === null) this.#rows.delete(`${set} ${peer}`);
		if (step.retiredSets.length + step.retiredIdentities.length === 0) return;
		const identities = new Set(step.retiredIdentities);
		for (const key of [...this.#rows.keys()]) {
			const [set, peer] = key.split(' ').map(Number) as [number, number];
			if (step.retiredSets.includes(set) || identities.has(peer >>> 2)) this.#rows.delete(key);
		}
		for (const set of step.retiredSets) this.#sets.delete(set);
	}

	/** A row that says what the default says gets the default's content before it goes. */
	#default(step: PolicyStep, set: number, peer: number): Row {
		const state = step.sets.get(set) ?? this.#sets.get(set);
		if (state === undefined) throw new Error(`set ${set} has no state`);
		const direction = (peer & PolicyPeer.EGRESS) !== 0 ? 'egress' : 'ingress';
		return (isPodIdentity(peer >>> 2) ? state.pods : state.others)[direction];
	}

	identityOf(address: Address): number {
		const exact = this.#addresses.get(address);
		if (exact !== undefined) return exact;
		let best: { length: number; identity: number } | undefined;
		for (const [cidr, identity] of this.#cidrs) {
			const length = cidrParts(cidr).prefixLength;
			if ((best === undefined || length > best.length) && cidrContains(cidr, address)) best = { length, identity };
		}
		return best?.identity ?? Identity.WORLD;
	}

	setOf(address: Address): number | undefined {
		const pod = this.#podOf.get(address);
		return pod === undefined ? undefined : this.#pods.get(pod)?.set;
	}

	set(number: number): SetView | undefined {
		const state = this.#sets.get(number);
		if (state === undefined) return undefined;
		const of = ({ ingress, egress }: Readonly<Record<Direction, Row>>) => ({
			ingress: ingress.ranges,
			egress: egress.ranges,
		});
		return { open: state.open, closed: false, pods: of(state.pods), others: of(state.others) };
	}

	row(set: number, peer: number): Uint32Array | undefined {
		return this.#rows.get(`${set} ${peer}`)?.ranges;
	}
}
