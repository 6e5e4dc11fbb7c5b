/**
 * An agent that exists only as values: its API server on a unix socket in a directory of its own, for tests of the API
 * and the command line tool.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ApiServer } from '../../agent/api/server.ts';
import { startApiServer } from '../../agent/api/server.ts';
import type { PeerCredentials } from '../../agent/api/socket.ts';
import type {
	AgentState,
	ConntrackReport,
	FlowExplanation,
	ServiceReport,
	StatusReport,
} from '../../agent/api/state.ts';
import { FlowObserver } from '../../agent/flows/observer.ts';
import { DropReason } from '../../native/abi/generated.ts';
import { fakePolicies } from './fake-policies.ts';
import { ManualClock, pod, RULES, resolverOf, service } from './flow-records.ts';

export const STARTED = new Date('2026-01-31T12:00:00Z');

/** What the fake agent says of a flow. */
export const EXPLANATION: FlowExplanation = {
	verdict: 'dropped',
	reason: DropReason.POLICY,
	source: '10.1.0.5 (pod shop/web-1)',
	destination: '10.1.1.7 (pod shop/db-0) port 5432',
	steps: [
		{ about: 'source', outcome: 'ok', text: 'a pod of this node' },
		{ about: 'ingress', outcome: 'drop', text: 'denied: no policy allows it (isolated by NetworkPolicy shop/db)' },
	],
	concerns: ({ destination }) => destination.port === 5432,
};

export const SERVICES: readonly ServiceReport[] = [
	{
		namespace: 'shop',
		name: 'web',
		type: 'NodePort',
		clusterIps: ['10.96.0.9'],
		externalIps: [],
		affinitySeconds: 10800,
		internalTrafficPolicy: 'Cluster',
		externalTrafficPolicy: 'Local',
		frontends: [
			{
				id: 7,
				address: '10.96.0.9',
				port: 80,
				protocol: 'tcp',
				portName: 'http',
				scope: 'cluster',
				backends: [
					{
						address: '10.1.0.5',
						port: 8080,
						state: 'active',
						nodeName: 'node-a',
						namespace: 'shop',
						pod: 'web-1',
						local: true,
					},
					{
						address: '10.1.1.7',
						port: 8080,
						state: 'terminating',
						nodeName: 'node-b',
						namespace: '',
						pod: '',
						local: false,
					},
				],
			},
			{
				id: 8,
				address: 'fd00::9',
				port: 80,
				protocol: 'tcp',
				portName: '',
				scope: 'external',
				backends: [],
			},
		],
	},
	{
		namespace: 'data',
		name: 'db',
		type: 'ClusterIP',
		clusterIps: ['10.96.0.3'],
		externalIps: ['192.0.2.1'],
		affinitySeconds: 0,
		internalTrafficPolicy: 'Cluster',
		externalTrafficPolicy: 'Cluster',
		frontends: [],
	},
];

export const CONNTRACK: readonly ConntrackReport[] = [
	{
		protocol: 6,
		source: '10.1.0.5',
		sourcePort: 40000,
		destination: '10.96.0.3',
		destinationPort: 5432,
		translated: '10.1.1.7',
		translatedPort: 15432,
		snatPort: 0,
		state: 'established',
		flags: ['svc_forward'],
		idleMs: 1500,
		ageMs: 63_000,
		packetsForward: 10,
		packetsReply: 8,
		bytesForward: 2048n,
		bytesReply: 5_000_000_000n,
		sourceName: pod('shop', 'web-1'),
		destinationName: service('data', 'db'),
	},
	{
		protocol: 17,
		source: 'fd00::5',
		sourcePort: 5353,
		destination: '2001:db8::1',
		destinationPort: 53,
		translated: '',
		translatedPort: 0,
		snatPort: 61000,
		state: 'new',
		flags: ['masquerade'],
		idleMs: 10,
		ageMs: 10,
		packetsForward: 1,
		packetsReply: 0,
		bytesForward: 70n,
		bytesReply: 0n,
		sourceName: undefined,
		destinationName: undefined,
	},
];

export const READY: StatusReport = {
	started: STARTED,
	ready: true,
	problems: [],
	warnings: [],
	facts: { routing: 'vxlan', uplink: 'eth0 (mtu 1500)' },
	reconcilers: [{ name: 'services', runs: 12, failures: 1, lastSuccess: STARTED, lastError: '' }],
	maps: [
		{ name: 'services', entries: 4, capacity: 65536, bytes: 5_242_880 },
		{ name: 'ct', capacity: 262144, bytes: 40_000_000 },
	],
	sourceErrors: [],
	eventsLimited: 3n,
};

export interface FakeAgent {
	readonly socketPath: string;
	readonly flows: FlowObserver;
	readonly clock: ManualClock;
	/** Replaces parts of the state from now on. */
	change(changes: Partial<AgentState>): void;
	/** Connections that were refused, and errors of handlers. */
	readonly complaints: string[];
	stop(): Promise<void>;
}

export interface FakeAgentOptions {
	readonly flowCapacity?: number;
	readonly peerCredentials?: (fd: number) => PeerCredentials;
}

const state: AgentState = {
	status: () => READY,
	services: () => SERVICES,
	endpoints: () => [
		{
			id: 3,
			namespace: 'shop',
			pod: 'web-1',
			containerId: 'c0ffee',
			addresses: ['10.1.0.5', 'fd00::5'],
			interface: 'fl12ab',
			ifindex: 42,
			mac: '02:00:00:00:00:05',
			state: 'ready',
			identity: 256,
		},
	],
	nodes: () => [
		{ name: 'node-b', addresses: ['172.18.0.3'], podCidrs: ['10.1.1.0/24'], routing: 'vxlan', mtu: 1450, index: 1 },
		{ name: 'node-a', addresses: ['172.18.0.2'], podCidrs: ['10.1.0.0/24'], routing: 'local', mtu: 1450, index: 0 },
	],
	conntrack: () => Promise.resolve(CONNTRACK),
	drops: () => [
		{ reason: DropReason.NO_BACKEND, packets: 2n, bytes: 120n },
		{ reason: DropReason.NO_ROUTE, packets: 5n, bytes: 3000n },
		{ reason: DropReason.POLICY, packets: 0n, bytes: 0n },
	],
	policies: fakePolicies,
	explain: () => Promise.resolve(EXPLANATION),
	config: () => [
		{ key: 'routing', value: '"vxlan"', origin: 'automatic', why: 'nodes are in different subnets' },
		{ key: 'flowBuffer', value: '16384', origin: 'default', why: '' },
	],
};

export async function startFakeAgent(options: FakeAgentOptions = {}): Promise<FakeAgent> {
	const directory = mkdtempSync(join(tmpdir(), 'fairlead-api-'));
	const clock = new ManualClock(BigInt(STARTED.getTime()) * 1_000_000n);
	const names = resolverOf({
		'10.1.0.5': pod('shop', 'web-1', { app: 'web' }),
		'10.1.1.7': pod('data', 'db-0', { app: 'db' }),
		'10.96.0.3': service('data', 'db'),
	});
	const capacity = options.flowCapacity ?? 1000;
	const flows = new FlowObserver({ capacity, nodeName: 'node-a', names, rules: RULES, clock });
	const current = { ...state };
	const complaints: string[] = [];
	const server: ApiServer = await startApiServer({
		socketPath: join(directory, 'agent.sock'),
		version: '9.8.7',
		nodeName: 'node-a',
		state: current,
		flows,
		peerCredentials: options.peerCredentials ?? (() => ({ pid: 1, uid: 0, gid: 0 })),
		onRefused: (reason) => complaints.push(reason),
		onError: (method, error) => complaints.push(`${method}: ${String(error)}`),
	});
	return {
		socketPath: join(directory, 'agent.sock'),
		flows,
		clock,
		complaints,
		change: (changes) => void Object.assign(current, changes),
		stop: async () => {
			await server.close();
			rmSync(directory, { recursive: true, force: true });
		},
	};
}
