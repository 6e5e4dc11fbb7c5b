/** What a test says about a node, and what it gets back from a run. Addresses and MACs are text; ports host order. */

export interface PodFixture {
	/** Row of the endpoint table; also its id. */
	readonly index: number;
	/** Name of a device of the world's namespace; see server.ts. */
	readonly device: string;
	readonly ipv4?: string;
	readonly ipv6?: string;
	readonly mac: string;
	readonly hostMac: string;
	readonly gen?: number;
	readonly flags?: number;
	readonly identity?: number;
}

export interface NodeFixture {
	readonly index: number;
	readonly ipv4: string;
	readonly ipv6: string;
	readonly podCidr4: string;
	readonly podCidr6: string;
	readonly routing: 'tunnel' | 'direct';
	readonly mtu: number;
	readonly gen?: number;
	/** Link next hops; default: the node's own addresses. */
	readonly nexthop4?: string;
	readonly nexthop6?: string;
}

/** An interface besides the uplink, with a gateway of its own. */
export interface UplinkFixture {
	readonly device: string;
	readonly ipv4: string;
	readonly ipv6: string;
	readonly mtu: number;
	readonly gateway4: string;
	readonly gateway6: string;
	/** What is reached by the gateway. */
	readonly routes: readonly string[];
	/** Sources whose packets take the gateway, whatever their destination. */
	readonly rules?: readonly string[];
}

export interface BackendFixture {
	readonly address: string;
	readonly port: number;
	readonly local?: boolean;
	readonly flags?: number;
}

export interface ServiceFixture {
	readonly address: string;
	readonly port: number;
	readonly proto: number;
	readonly external?: boolean;
	readonly flags?: number;
	readonly backends: readonly BackendFixture[];
	/** Set in `sources` that clients must be in; 0 = anybody. */
	readonly sourceSet?: number;
	readonly affinityTimeoutS?: number;
	/** Address is one of the node's own: no ADDRESS_ONLY entry, and no filter bit unless it is a `further` one. */
	readonly nodeAddress?: boolean | 'further';
	/** Slots of a Maglev table (and SVC_FLAG_MAGLEV): slot → index into `backends`. */
	readonly table?: readonly number[];
	/** The table before, during a transition. */
	readonly previous?: readonly number[];
	/** The `local` slots are there without a Local policy too: for what comes in an envelope. */
	readonly listsLocal?: boolean;
}

export interface WorldFixture {
	readonly ipv4: string;
	readonly ipv6: string;
	readonly podCidr4: string;
	readonly podCidr6: string;
	readonly serviceCidrs: readonly string[];
	/** Pod CIDRs of the whole cluster. */
	readonly clusterCidrs: readonly string[];
	readonly nonMasqueradeCidrs: readonly string[];
	readonly pods: readonly PodFixture[];
	readonly nodes: readonly NodeFixture[];
	readonly services: readonly ServiceFixture[];
	/** Rows of `uplinks` from 1 on; without `uplink`. */
	readonly moreUplinks?: readonly UplinkFixture[];
	/** Of the uplink, and of the way to other nodes for XDP; default 1500. */
	readonly uplinkMtu?: number;
	/** .rodata constants by name (without cfg_), on top of those that follow from the world. Text is an address, or bytes as in a MAC. */
	readonly config?: Readonly<Record<string, number | string>>;
	/** Sizes of maps by name, without fl_ and _1. */
	readonly mapSizes?: Readonly<Record<string, number>>;
}

export interface RunOptions {
	/** Device that the packet is on; default: loopback. */
	readonly device?: string;
	/** Device it came in by; default: none (local origin). */
	readonly ingressDevice?: string;
	readonly mark?: number;
	readonly gsoSize?: number;
	readonly gsoSegments?: number;
}

export interface RunResult {
	/** -1 next, 0 ok, 2 shot, 7 redirect. */
	readonly verdict: number;
	readonly packet: Uint8Array;
	readonly mark: number;
	/** Reason number → packets counted by this run. */
	readonly drops: Readonly<Record<number, number>>;
}

export interface Row {
	readonly key: Uint8Array;
	readonly value: Uint8Array;
}
