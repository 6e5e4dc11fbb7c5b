/**
 * A port of this node that is mapped to a pod on it (CNI capability portMappings).
 */
import type { Address } from './address.ts';
import type { Protocol } from './fields.ts';

export interface HostPort {
	/** Pod 'namespace/name', or the container id when the runtime named no pod. */
	readonly owner: string;
	/** Address the port is open at; null = every address of the node. */
	readonly hostAddress: Address | null;
	readonly hostPort: number;
	readonly protocol: Protocol;
	/** The pod's addresses, at most one per family. */
	readonly podAddresses: readonly Address[];
	readonly podPort: number;
}
