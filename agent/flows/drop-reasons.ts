/**
 * Text for people about every drop reason. `satisfies` makes the table complete: a reason added to bpf/abi/drop.h does
 * not compile until it is explained here.
 */
import { DropReason } from '../../native/abi/generated.ts';

type Reason = Exclude<keyof typeof DropReason, 'NONE' | 'MAX'>;

export interface DropText {
	/** What happened, one sentence without a full stop. */
	readonly text: string;
	/** What a person can do about it. */
	readonly remedy: string;
	/** Nearest number of Hubble's DropReason, whose text the stock CLI prints. */
	readonly hubble: number;
}

const SENDER = 'Look at the sending application or host; a tcpdump on the source interface shows the packet.';
const ATTACK = 'Expected when somebody probes the node. Otherwise check which host owns the source address.';

export const DROP_TEXTS = {
	INVALID_PACKET: {
		text: 'the packet is truncated or its lengths contradict each other',
		remedy: SENDER,
		hubble: 134,
	},
	INVALID_SOURCE: {
		text: 'the source address is not one of the pod that sent it',
		remedy: 'The pod uses an address it was not given. Pods that forward for others are not supported.',
		hubble: 132,
	},
	INVALID_SOURCE_MAC: {
		text: 'the source MAC address is not that of the pod interface',
		remedy: 'The pod changed its MAC address or bridges for somebody else; restart the pod to restore it.',
		hubble: 132,
	},
	UNSUPPORTED_L2: {
		text: 'the frame is neither IPv4, IPv6 nor ARP, or has a VLAN tag',
		remedy: 'Only IP traffic is carried; stop sending other protocols or tagged frames from the pod.',
		hubble: 166,
	},
	FORBIDDEN_ARP: {
		text: 'the pod asked by ARP for another address than its gateway',
		remedy: 'Pods need only 169.254.1.1; remove on-link routes that were added inside the pod.',
		hubble: 139,
	},
	FORBIDDEN_ND: {
		text: 'a neighbour discovery message that pods must not send or receive',
		remedy: 'Router advertisements, redirects and answers for foreign addresses are never passed on; check the sender.',
		hubble: 176,
	},
	EXTENSION_HEADERS: {
		text: 'too many IPv6 extension headers, or a routing header of type 0',
		remedy: SENDER,
		hubble: 156,
	},
	FRAGMENT_NO_FIRST: {
		text: 'a later fragment came without the first one of its datagram',
		remedy: 'Fragments are reordered or lost on the way; lower the MTU or make the application send smaller datagrams.',
		hubble: 175,
	},
	FRAGMENT_SHORT: {
		text: 'the first fragment does not hold the whole transport header',
		remedy: SENDER,
		hubble: 157,
	},
	FRAGMENT_OVERLAP: {
		text: 'a fragment overlaps an earlier one of the same datagram',
		remedy: `Overlapping fragments are an attack or a broken sender. ${SENDER}`,
		hubble: 157,
	},
	NO_BACKEND: {
		text: 'the service has no usable endpoint; the client was told with a reset or an ICMP error',
		remedy: 'Check that pods match the selector of the service and are ready: fairlead service get NAMESPACE/NAME.',
		hubble: 158,
	},
	NO_LOCAL_BACKEND: {
		text: 'the traffic policy of the service is Local and this node has no endpoint of it',
		remedy: 'Send the traffic to a node with an endpoint, or set the traffic policy of the service to Cluster.',
		hubble: 158,
	},
	UNDEFINED_PORT: {
		text: 'the address belongs to a service that does not define this port and protocol',
		remedy: 'Compare the port with those of the service: fairlead service list.',
		hubble: 158,
	},
	NO_ROUTE: {
		text: 'the destination is a cluster address that no pod or node owns',
		remedy: 'The pod is gone or not known yet. Check its Pod object, and that the nodes agree about pod CIDRs.',
		hubble: 151,
	},
	TTL_EXCEEDED: {
		text: 'the TTL or hop limit ran out on this node; the sender was told',
		remedy: 'Normal for traceroute. Otherwise look for a routing loop: fairlead node list and `ip route`.',
		hubble: 196,
	},
	FRAG_NEEDED: {
		text: 'the packet is larger than the next MTU and must not be fragmented; the sender was told',
		remedy: 'Path MTU discovery must work: do not filter ICMP. Check that the pod MTU fits the uplink.',
		hubble: 136,
	},
	CT_INSERT: {
		text: 'no connection tracking entry could be made',
		remedy: 'Raise ctMaxEntries, or find who opens so many connections: fairlead ct list.',
		hubble: 155,
	},
	NAT_EXHAUSTED: {
		text: 'no free masquerade port is left towards this destination',
		remedy: 'Widen snatPorts, or let the application reuse its connections to this destination.',
		hubble: 167,
	},
	TUNNEL_SOURCE: {
		text: 'an encapsulated packet came from an address that is no node',
		remedy: ATTACK,
		hubble: 172,
	},
	TUNNEL_INNER_SOURCE: {
		text: 'the inner source of an encapsulated packet does not belong to the node that sent it',
		remedy: `Nodes may disagree about pod CIDRs for a moment after a change: fairlead node list. ${ATTACK}`,
		hubble: 172,
	},
	TUNNEL_FROM_POD: {
		text: 'a pod tried to send encapsulated traffic to a node',
		remedy: 'Pods must not speak to the overlay port of nodes; if the pod runs its own tunnel, use another port.',
		hubble: 170,
	},
	SPOOFED_LOCAL: {
		text: 'a packet from outside has a source address of this node, of a local pod or of a service',
		remedy: ATTACK,
		hubble: 132,
	},
	ENDPOINT_NOT_READY: {
		text: 'the pod is being attached or detached',
		remedy: 'Passes when the attachment is complete; if it stays, see fairlead endpoint list and the agent log.',
		hubble: 203,
	},
	MIGRATING: {
		text: 'connection state is being carried over to a new version',
		remedy: 'Nothing: the retransmission passes.',
		hubble: 202,
	},
	REWRITE_FAILED: {
		text: 'the kernel refused a change of the packet',
		remedy: 'Report it with the output of fairlead status; the kernel may lack memory.',
		hubble: 141,
	},
	TUNNEL_KEY: {
		text: 'tunnel metadata is missing or was refused by the kernel',
		remedy: 'Check that the overlay device exists and was not changed: ip -d link show type vxlan.',
		hubble: 147,
	},
	POLICY: {
		text: 'no policy allows this connection, or one denies it',
		remedy:
			'Ask the rules: fairlead why-dropped SOURCE DESTINATION PORT. fairlead observe --verdict dropped names policies.',
		hubble: 133,
	},
	ISOLATED: {
		text: 'the pod is isolated: only its node may talk to it',
		remedy: 'Its Pod object was not found when it was attached; check that the agent reaches its source of objects.',
		hubble: 133,
	},
	DSR_NOT_OURS: {
		text: 'another node sent it to a backend of this node that does not exist here',
		remedy: 'Normal for a moment when backends move. If it stays: compare fairlead service list on both nodes.',
		hubble: 158,
	},
	SOURCE_RANGE: {
		text: "the client is not in the load balancer service's source ranges",
		remedy: 'Add the address to spec.loadBalancerSourceRanges of the Service if the client should reach it.',
		hubble: 177,
	},
} as const satisfies Record<Reason, DropText>;

const UNKNOWN: DropText = {
	text: 'a reason this version does not know',
	remedy: 'Programs and agent are of different versions; restart the agent.',
	hubble: 0,
};

const NAMES: ReadonlyMap<number, Reason> = new Map(
	Object.entries(DropReason).flatMap(([name, number]) => (isReason(name) ? [[number, name] as const] : [])),
);

function isReason(name: string): name is Reason {
	return name in DROP_TEXTS;
}

/** All numbers that have a meaning, ascending. */
export const DROP_NUMBERS: readonly number[] = [...NAMES.keys()].sort((a, b) => a - b);

/** Lower-case name with `_`, as metrics, API and CLI show it: `no_backend`; `reason_99` for unknown numbers. */
export function dropReasonName(number: number): string {
	return NAMES.get(number)?.toLowerCase() ?? `reason_${number}`;
}

/** Text of a reason; numbers this version does not know get one that says so. */
export function dropText(number: number): DropText {
	const name = NAMES.get(number);
	return name === undefined ? UNKNOWN : DROP_TEXTS[name];
}

/** Number of a name in any case, with `-` or `_`. Undefined = there is no such reason. */
export function dropReasonNumber(name: string): number | undefined {
	const wanted = name.toUpperCase().replaceAll('-', '_');
	return isReason(wanted) ? DropReason[wanted] : undefined;
}
