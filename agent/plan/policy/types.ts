/**
 * What the policy compiler hands to the reconciler: rows by set and peer, sets, who has which identity, and in which order.
 */
import { PolicyPeer, PolicyVerdictFlag } from '../../../native/abi/generated.ts';
import type { Address, Cidr } from '../../model/address.ts';
import type { Protocol } from '../../model/fields.ts';
import type { PeerRow } from '../peers.ts';

export type Direction = 'ingress' | 'egress';
export const DIRECTIONS = ['ingress', 'egress'] as const;

/** Verdicts of all protocols and ports. Rows with equal keys are equal. */
export interface Row {
	/** Pairs of (protocol << 16 | first port) and verdict word, ascending; the first pair starts at 0. */
	readonly ranges: Uint32Array;
	readonly key: string;
}

/** What a set does with peers that have no row of their own. */
export interface SetState {
	/** Nothing restricts the direction. */
	readonly open: Readonly<Record<Direction, boolean>>;
	readonly pods: Readonly<Record<Direction, Row>>;
	readonly others: Readonly<Record<Direction, Row>>;
}

export interface RowChange {
	readonly set: number;
	/** Word as in policy_key.peer. */
	readonly peer: number;
	/** null = as the set's default says. */
	readonly row: Row | null;
}

/** Who an address belongs to, besides its identity. */
export type AddressOwner =
	| { readonly kind: 'pod'; readonly pod: string; readonly node: string }
	/** Claimed by two pods, so that nobody knows whose packets they are. */
	| { readonly kind: 'disputed' }
	| { readonly kind: 'node'; readonly node: string };

export interface AddressChange {
	readonly address: Address;
	/** null = nobody has it any more. */
	readonly entry: { readonly identity: number; readonly owner: AddressOwner } | null;
	/** Identity of a pod at this address that is not known. */
	readonly stranger: number;
}

export interface CidrChange {
	readonly cidr: Cidr;
	/** null = the prefix is no longer told apart. */
	readonly row: PeerRow | null;
}

/** A pod of this node. */
export interface PodChange {
	/** 'namespace/name' */
	readonly pod: string;
	/** 0 = no policy selects it. null = the pod is gone. */
	readonly set: number | null;
	/** By address. */
	readonly identities: ReadonlyMap<Address, number>;
	/** What it may send to depends on names: answers of name servers have to be seen before it gets them. */
	readonly domains: boolean;
}

/**
 * One step of a change. Its parts are to be done in this order; after each part, and within them after each element, every
 * flow is judged as before the step or as after it.
 */
export interface PolicyStep {
	readonly rows: readonly RowChange[];
	/** null = the set has no user any more; its number is free after a grace period. */
	readonly sets: ReadonlyMap<number, SetState>;
	readonly addresses: readonly AddressChange[];
	/** Longest prefixes first. */
	readonly cidrs: readonly CidrChange[];
	readonly pods: readonly PodChange[];
	/** Local pods whose remembered verdicts may be wrong now. */
	readonly bump: ReadonlySet<string>;
	/** Numbers that nothing refers to after this step. */
	readonly retiredSets: readonly number[];
	readonly retiredIdentities: readonly number[];
}

/** A container port by name. */
export interface NamedPort {
	readonly name: string;
	readonly protocol: Protocol;
	readonly port: number;
}

/** policy_key.peer of an identity. */
export function peerWord(identity: number, direction: Direction, self = false): number {
	return ((identity << 2) | (self ? PolicyPeer.SELF : 0) | (direction === 'egress' ? PolicyPeer.EGRESS : 0)) >>> 0;
}

/** policy_range.verdict */
export function verdictWord(allow: boolean, cookie: number): number {
	return ((cookie << PolicyVerdictFlag.SHIFT) | (allow ? PolicyVerdictFlag.ALLOW : 0)) >>> 0;
}

/** True for identities whose default is that of pods. */
export function isPodIdentity(identity: number): boolean {
	return identity >= 256 && identity < PolicyPeer.FIRST_ADDRESS;
}
