/** The words in which both oracles of services speak: who asks for what, and what comes of it. */
import type { Address } from '../../agent/model/address.ts';

export const PROTOCOLS = { ICMP: 1, TCP: 6, UDP: 17, ICMPV6: 58, SCTP: 132 } as const;
export type ProbeProtocol = keyof typeof PROTOCOLS;

export interface ProbeClient {
	/**
	 * pod = in a pod of this node with its own network; node = a process in the node's network, host network pods among them;
	 * outside = whatever comes in from the network: strangers, other nodes, their pods.
	 */
	readonly kind: 'pod' | 'node' | 'outside';
	readonly address: Address;
}

/** The first packet or the connect() of a new connection. */
export interface Probe {
	readonly client: ProbeClient;
	/** socket = translated at connect or sendmsg (never from outside, only TCP and UDP); packet = by the packet programs. */
	readonly path: 'socket' | 'packet';
	readonly address: Address;
	/** 0 for ICMP. */
	readonly port: number;
	readonly protocol: ProbeProtocol;
}

/** Where a backend is, seen from this node. */
export type Place = 'local pod' | 'this node' | 'other node' | 'outside' | 'nowhere';

export interface Answer {
	readonly address: Address;
	readonly port: number;
	readonly place: Place;
	/** Address the backend sees as client; '' when the packet cannot get there (place nowhere). */
	readonly source: Address;
	/** Node that gets the packet in an envelope, as its client sent it, and translates it itself (direct server return). */
	readonly envelopeTo?: Address;
}

export type DropWhy = 'no local endpoint' | 'source not allowed' | 'unassigned address' | 'spoofed source';

export type Outcome =
	/** None of our business: routed like anything else. */
	| { readonly kind: 'not a service' }
	/** One of these, sorted by address and port; never empty. */
	| { readonly kind: 'answered'; readonly answers: readonly Answer[] }
	| { readonly kind: 'rejected'; readonly why: 'no endpoint' | 'undefined port'; readonly by: Rejection }
	| { readonly kind: 'dropped'; readonly why: DropWhy };

/** How the client learns that nobody is there. */
export type Rejection = 'RST' | 'ICMP unreachable' | 'ECONNREFUSED';

export function rejectionOf(probe: Probe): Rejection {
	if (probe.path === 'socket') return 'ECONNREFUSED';
	return probe.protocol === 'TCP' ? 'RST' : 'ICMP unreachable';
}

export function answered(answers: readonly Answer[]): Outcome {
	const unique = new Map(answers.map((each) => [formatAnswer(each), each]));
	return { kind: 'answered', answers: [...unique.keys()].sort().map((key) => unique.get(key) as Answer) };
}

function formatAnswer({ address, port, place, source, envelopeTo }: Answer): string {
	const envelope = envelopeTo === undefined ? '' : `, in an envelope to ${envelopeTo}`;
	return `${address} ${port} (${place}${source === '' ? '' : `, from ${source}`}${envelope})`;
}

/** One line; equal outcomes have equal texts. */
export function formatOutcome(outcome: Outcome): string {
	switch (outcome.kind) {
		case 'not a service':
			return outcome.kind;
		case 'answered':
			return `answered by ${outcome.answers.map(formatAnswer).join(' or ')}`;
		case 'rejected':
			return `rejected, ${outcome.why}, by ${outcome.by}`;
		case 'dropped':
			return `dropped, ${outcome.why}`;
	}
}

export function formatProbe({ client, path, address, port, protocol }: Probe): string {
	return `${client.kind} ${client.address} → ${address} ${port}/${protocol} by ${path}`;
}
