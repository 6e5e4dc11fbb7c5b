/** Short ways to write what a case needs, and the form in which its expectations are written. */
import type { Outcome, Probe, ProbeClient, ProbeProtocol } from '../lib/service-oracle-probe.ts';
import type { RulesWorld } from '../lib/service-rules.ts';
import { familyOfText, type RawEndpoint, type RawService, type RawSlice } from '../lib/service-rules-objects.ts';
import { EMPTY_WORLD, NODE, PLACES, type PlaceName } from './geography.ts';

/** Clients by name; `elsewhere` is outside and in no source range. */
export const WHO = {
	pod: ['pod', 'podA'],
	podB: ['pod', 'podB'],
	node: ['node', 'node'],
	outside: ['outside', 'world'],
	elsewhere: ['outside', 'stranger'],
	node3: ['outside', 'node3'],
	pod3: ['outside', 'pod3'],
} as const satisfies Record<string, readonly [ProbeClient['kind'], PlaceName]>;

/**
 * Who asks for which address and port (TCP unless said), what kube-proxy makes of it, and what Fairlead, where it differs.
 * Answers are names of places, in any order; `*` behind one says that it sees the node's address instead of the client's.
 */
export type Row = readonly [who: keyof typeof WHO, to: string, kubernetes: string, fairlead?: string];

export interface Case {
	/** A sentence. */
	readonly title: string;
	readonly services: readonly RawService[];
	readonly slices: readonly RawSlice[];
	readonly world?: Partial<RulesWorld>;
	readonly rows: readonly Row[];
}

export function service(name: string, spec: RawService['spec'], status?: RawService['status']): RawService {
	return {
		apiVersion: 'v1',
		kind: 'Service',
		metadata: { name, namespace: 'default' },
		spec,
		...(status && { status }),
	};
}

const NODE_OF: Partial<Record<PlaceName, string>> = {
	...{ podA: NODE, podB: NODE, node: NODE, gone: NODE },
	...{ pod2: 'node-2', pod2b: 'node-2', node2: 'node-2', pod3: 'node-3', node3: 'node-3' },
};

/** An endpoint at a place, on the node that is there. */
export function at(
	place: PlaceName,
	more: Omit<Partial<RawEndpoint>, 'addresses'> = {},
	family: 4 | 6 = 4,
): RawEndpoint {
	const nodeName = NODE_OF[place];
	return { addresses: [PLACES[place][family === 4 ? 0 : 1]], ...(nodeName && { nodeName }), ...more };
}

export const READY = { conditions: { ready: true, serving: true, terminating: false } };
export const DRAINING = { conditions: { ready: false, serving: true, terminating: true } };
/** Terminating, and fails its probe. */
export const DYING = { conditions: { ready: false, serving: false, terminating: true } };
export const UNREADY = { conditions: { ready: false, serving: false, terminating: false } };

export function slice(
	name: string,
	endpoints: RawEndpoint[],
	ports: RawSlice['ports'] = [{ port: 8080, protocol: 'TCP' }],
	addressType: RawSlice['addressType'] = 'IPv4',
	suffix = '1',
): RawSlice {
	return {
		apiVersion: 'discovery.k8s.io/v1',
		kind: 'EndpointSlice',
		metadata: {
			name: `${name}-${suffix}`,
			namespace: 'default',
			labels: { 'kubernetes.io/service-name': name },
		},
		addressType,
		ports,
		endpoints,
	};
}

export function worldOf({ services, slices, world }: Case): RulesWorld {
	return { ...EMPTY_WORLD, ...world, services, slices };
}

/** 'address port', 'address port/UDP' or 'address ping'. */
export function probeOf(who: keyof typeof WHO, to: string): Probe {
	const [address = '', rest = ''] = to.split(' ');
	const family = familyOfText(address);
	const [kind, place] = WHO[who];
	const [port, protocol = 'TCP'] = rest === 'ping' ? ['0', family === 4 ? 'ICMP' : 'ICMPV6'] : rest.split('/');
	return {
		client: { kind, address: PLACES[place][family === 4 ? 0 : 1] },
		path: 'packet',
		address,
		port: Number(port),
		protocol: protocol as ProbeProtocol,
	};
}

const PLACE_OF = new Map<string, string>(
	Object.entries(PLACES).flatMap(([name, addresses]) => addresses.map((address) => [address, name] as const)),
);

/** The outcome in the form of rows. */
export function shortForm(outcome: Outcome): string {
	if (outcome.kind === 'rejected') return outcome.why === 'undefined port' ? 'reject (no such port)' : 'reject';
	if (outcome.kind === 'dropped') return `drop (${outcome.why})`;
	if (outcome.kind === 'not a service') return 'routed';
	return outcome.answers
		.map(({ address, port, source }) => {
			const place = PLACE_OF.get(address) ?? address;
			const own = PLACES.node.includes(source as never) ? '*' : '';
			return `${place}${port === 8080 ? '' : `:${port}`}${own}`;
		})
		.sort()
		.join(' ');
}

/** What a row says, with its answers in the order of shortForm(). */
export function sortedForm(text: string): string {
	return /^(reject|drop|routed)/.test(text) ? text : text.split(' ').sort().join(' ');
}
