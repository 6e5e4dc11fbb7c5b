/**
 * What the policy reconciler asks of the kernel, which `Kernel` can do, and the operations it is asked for.
 */
import type { PeerRef } from '../../native/abi/generated.ts';
import type { Address, Cidr } from '../model/address.ts';
import type { PeerRow } from '../plan/peers.ts';
import type { AddressOwner, Direction, Row } from '../plan/policy/types.ts';

export type PolicyMapName = 'policy' | 'ipcache' | 'cidrs' | 'endpoints';
export type PolicySharedName = 'policyset' | 'ranges' | 'endpoints';

export interface PolicyKernel {
	mapGet(map: PolicyMapName, key: Uint8Array): Uint8Array | undefined;
	/** @throws E2BIG when a hash map is full, ENOSPC when an LPM trie is full */
	mapSet(map: PolicyMapName, key: Uint8Array, value: Uint8Array): void;
	mapDelete(map: PolicyMapName, key: Uint8Array): boolean;
	mapEntries(map: PolicyMapName): Iterable<readonly [Uint8Array, Uint8Array]>;
	mapCapacity(map: PolicyMapName): number;
	/** Elements of POLICY_STRIDE bytes. */
	shared(map: PolicySharedName): DataView;
	barrier(): void;
}

/** How addresses are written into references; undefined or empty = there is no row (yet), so nothing refers to it. */
export interface PeerReferences {
	/** Row of `nodes` for another node. */
	nodeRef(name: string): Pick<PeerRef, 'index' | 'gen'> | undefined;
	/** Rows of `endpoints` for a pod of this node, one for each of its interfaces. */
	podRefs(pod: string): readonly Pick<PeerRef, 'index' | 'gen'>[];
	/** The own node's name: its addresses are not those of another node. */
	readonly nodeName: string;
}

/** `struct policy_extent`: see policy-ranges.ts. */
export interface Extent {
	readonly base: number;
	readonly count: number;
}

export type PolicyOp =
	/** Writes ranges that nothing refers to. */
	| { readonly kind: 'ranges-set'; readonly base: number; readonly row: Row }
	| { readonly kind: 'row-set'; readonly set: number; readonly peer: number; readonly extent: Extent }
	| { readonly kind: 'row-delete'; readonly set: number; readonly peer: number }
	| {
			readonly kind: 'default-set';
			readonly set: number;
			readonly who: 'pods' | 'others';
			readonly direction: Direction;
			readonly extent: Extent;
	  }
	/** enum policy_set_flag */
	| { readonly kind: 'flags-set'; readonly set: number; readonly flags: number }
	| { readonly kind: 'cidr-set'; readonly cidr: Cidr; readonly row: PeerRow }
	| { readonly kind: 'cidr-delete'; readonly cidr: Cidr }
	| { readonly kind: 'address-set'; readonly address: Address; readonly identity: number; readonly owner: AddressOwner }
	/** `identity`: of an unknown pod there, for an entry that others keep. */
	| { readonly kind: 'address-delete'; readonly address: Address; readonly identity: number }
	| {
			readonly kind: 'endpoint-set';
			readonly pod: string;
			readonly set: number;
			readonly identities: ReadonlyMap<Address, number>;
			/** See PodChange. */
			readonly domains: boolean;
	  }
	| { readonly kind: 'generation-bump'; readonly pod: string };
