/**
 * Operations on the service maps, in the order in which they are safe.
 */
import type { SvcEntry } from '../../native/abi/generated.ts';
import type { Cidr } from '../model/address.ts';
import type { Backend } from '../plan/endpoints.ts';
import type { XdpServiceRow } from '../plan/xdp-services.ts';

export type ServiceOp =
	| { readonly kind: 'filter-set'; readonly bit: number }
	| { readonly kind: 'source-set'; readonly set: number; readonly cidr: Cidr }
	| {
			readonly kind: 'backend-set';
			readonly index: number;
			readonly backend: Backend;
			readonly generation: number;
			/** struct peer_ref as packPeer() makes it. */
			readonly peer: number;
			readonly svcId: number;
	  }
	/** Only the third 8 bytes of a row change, by one store. */
	| { readonly kind: 'backend-update'; readonly index: number; readonly row: BackendWord }
	/** Only the last 8 bytes of a row change, by one store. */
	| { readonly kind: 'backend-peer'; readonly index: number; readonly owner: OwnerWord }
	| { readonly kind: 'slots-set'; readonly base: number; readonly indexes: ArrayLike<number> }
	| { readonly kind: 'external-ports'; readonly count: number }
	| { readonly kind: 'service-set'; readonly key: string; readonly entry: SvcEntry }
	| { readonly kind: 'service-delete'; readonly key: string }
	| { readonly kind: 'backend-free'; readonly index: number; readonly row: BackendWord }
	| { readonly kind: 'source-delete'; readonly set: number; readonly cidr: Cidr }
	| { readonly kind: 'filter-clear'; readonly bit: number }
	/** A row of xdp_svc is not true any more: XDP looks into the other maps. */
	| { readonly kind: 'xdp-clear'; readonly at: number }
	| { readonly kind: 'xdp-set'; readonly at: number; readonly row: XdpServiceRow };

/** The 8 bytes of a backend row that follow the address. */
export interface BackendWord {
	readonly port: number;
	readonly proto: number;
	/** enum backend_flags */
	readonly flags: number;
	readonly generation: number;
}

/** The last 8 bytes of a backend row. */
export interface OwnerWord {
	/** struct peer_ref as packPeer() makes it. */
	readonly peer: number;
	readonly svcId: number;
}

/**
 * One change set. Whoever dies after any prefix of before + publish + after leaves maps in which every service finds
 * its backends. `after` takes away what the new entries no longer use: it must not run when a publish operation
 * failed, because then an old entry may still use it.
 */
export interface ServiceOps {
	readonly before: readonly ServiceOp[];
	readonly publish: readonly ServiceOp[];
	readonly after: readonly ServiceOp[];
}

/** All operations in order. */
export function inOrder(ops: ServiceOps): readonly ServiceOp[] {
	return [...ops.before, ...ops.publish, ...ops.after];
}
