/**
 * One run of the sync figures in a process of its own, as cold as an agent that starts: 10,000 services into real maps,
 * then single changes. Prints one line of JSON. Usage: node bench/sync-worker.ts BPFFS_DIRECTORY CHANGES
 */
import { readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { BpfKernel } from '../agent/kernel/bpf-kernel.ts';
import { PinnedMaps } from '../agent/kernel/pinned-maps.ts';
import { parseEndpointSlice } from '../agent/model/endpoint-slice.ts';
import type { Parsed } from '../agent/model/fields.ts';
import type { NodeFacts } from '../agent/model/node-facts.ts';
import { parseService } from '../agent/model/service.ts';
import { planPeers } from '../agent/plan/peers.ts';
import type { PeerNode } from '../agent/plan/routing.ts';
import type { ReconcileReport } from '../agent/reconcile/services.ts';
import { PeerIndex } from '../agent/reconcile/services-peers.ts';
import { ClusterStore } from '../agent/sources/store.ts';
import { ServicePlanner, type ServicesConfig } from '../agent/wiring/services.ts';
import { type MapName, Maps } from '../native/abi/generated.ts';
import { BpfMap } from '../native/index.ts';
import { endpointSliceObject, type KubeObject, type ServiceSpec, serviceObject } from '../test/lib/cluster/objects.ts';

const SERVICES = 10_000;
const BACKENDS = 10;
const NODES = 100;
/** Pod addresses per node: a /22. */
const NODE_ADDRESSES = 1024;
const MAPS: readonly MapName[] = ['vip_filter', 'services', 'slots', 'backends', 'sources', 'runtime', 'xdp_svc'];

/** What bench/sync.ts makes figures of; times in milliseconds. */
export interface SyncRun {
	readonly fullMs: number;
	/** CPU of the main thread in that time: says what it would take on a machine with nothing else to do. */
	readonly fullCpuMs: number;
	readonly operations: number;
	readonly changesMs: readonly number[];
	readonly residentMb: number;
}

const FACTS: NodeFacts = {
	name: 'node0',
	zone: 'zone-1',
	addresses: ['192.168.0.1'],
	localAddresses: ['192.168.0.1'],
	podCidrs: ['10.128.0.0/22'],
	uplink: { name: 'eth0', ifindex: 2, mtu: 1500, addresses: [{ address: '192.168.0.1', prefixLength: 16 }] },
	moreUplinks: [],
};

function dotted(first: number, n: number): string {
	return `10.${first + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
}

/** Address of the n-th pod of the cluster; pods are spread over the nodes. */
function podAddress(n: number): string {
	return dotted(128, (n % NODES) * NODE_ADDRESSES + 1 + Math.floor(n / NODES));
}

function openKernel(directory: string): BpfKernel {
	const pinned = new PinnedMaps(directory);
	for (const name of MAPS) {
		const { name: fullName, type, keySize, valueSize, maxEntries, flags } = Maps[name];
		pinned.adopt(name, BpfMap.create({ type, name: fullName, keySize, valueSize, maxEntries, flags }));
	}
	return new BpfKernel(pinned);
}

function peerIndex(): PeerIndex {
	const peers = Array.from({ length: NODES - 1 }, (_, i): PeerNode => {
		const address = `192.168.1.${i + 1}`;
		return {
			name: `node${i + 1}`,
			tunnel: address,
			addresses: [address],
			podCidrs: [`${dotted(128, (i + 1) * NODE_ADDRESSES)}/22`],
			unreachableCidrs: [],
			path: { via: 'tunnel', node: 'bench', reason: 'bench' },
			nexthop4: null,
			nexthop6: null,
			mtu: 1450,
		};
	});
	const cidrs = { clusterCidrs: ['10.128.0.0/15'], serviceCidrs: ['10.96.0.0/16'], nonMasqueradeCidrs: [] };
	const index = new PeerIndex();
	index.setNodes(planPeers(peers, FACTS, cidrs), new Map(peers.map(({ name }, i) => [name, { index: i + 1, gen: 1 }])));
	return index;
}

function specOf(service: number): ServiceSpec {
	return {
		name: `s${service}`,
		clusterIPs: [dotted(96, service)],
		ports: [{ name: 'http', port: 80, targetPort: 8080 }],
	};
}

/** @param shift  0 = the usual ten; more = the first of them is another pod */
function sliceOf(service: number, shift: number): KubeObject {
	const endpoints = Array.from({ length: BACKENDS }, (_, i) => {
		const at = service * BACKENDS + i + (i === 0 ? shift * SERVICES * BACKENDS : 0);
		return { name: `p${at}`, nodeName: `node${at % NODES}`, addresses: { IPv4: podAddress(at) } };
	});
	return endpointSliceObject(specOf(service), 'IPv4', endpoints);
}

function valid<T>(parsed: Parsed<T>): T {
	if (!parsed.ok) throw new Error(`the bench has written an invalid object: ${JSON.stringify(parsed.issues)}`);
	return parsed.value;
}

function filledStore(): ClusterStore {
	const store = new ClusterStore();
	for (let n = 0; n < SERVICES; n++) {
		store.set('Service', `default/s${n}`, valid(parseService(serviceObject(specOf(n)))));
		store.set('EndpointSlice', `default/s${n}-ipv4`, valid(parseEndpointSlice(sliceOf(n, 0))));
	}
	return store;
}

const CONFIG: ServicesConfig = {
	ctTimeouts: {},
	externalIps: true,
	lbAlgorithm: 'random',
	lbTransitionMs: 30_000,
	nodePortAddresses: ['primary'],
	nodePortDsr: true,
	northSouth: 'snat',
	serviceProxyName: '',
	standalone: false,
};

async function measure(directory: string, changes: number): Promise<SyncRun> {
	const store = filledStore();
	let onReport: (report: ReconcileReport) => void = () => undefined;
	const peers = peerIndex();
	const kernel = openKernel(directory);
	store.markSynced();
	await sleep(100);
	const cpu = process.threadCpuUsage();
	const start = performance.now();
	const planner = new ServicePlanner({
		view: store,
		kernel,
		config: CONFIG,
		facts: () => FACTS,
		hostPorts: () => [],
		peers,
		onReport: (report) => onReport(report),
		onProblems: (problems) => {
			throw new Error(problems.join('; '));
		},
	});
	const { ops, problems } = await planner.start();
	const fullMs = performance.now() - start;
	const { user, system } = process.threadCpuUsage(cpu);
	if (problems.length > 0) throw new Error(problems.join('; '));
	store.onChange((change) => planner.onChange(change));
	await sleep(500);
	const changesMs: number[] = [];
	for (let i = 0; i < changes; i++) {
		const service = (i * 7919) % SERVICES;
		// What a watch hands over: an object with nothing known of it.
		const object = structuredClone(sliceOf(service, 1 + Math.floor(i / SERVICES)));
		const report = new Promise<ReconcileReport>((resolve) => {
			onReport = resolve;
		});
		const seen = performance.now();
		store.set('EndpointSlice', `default/s${service}-ipv4`, valid(parseEndpointSlice(object)));
		const done = await report;
		changesMs.push(performance.now() - seen);
		if (done.ops === 0 || done.problems.length > 0) throw new Error(`change ${i}: ${JSON.stringify(done)}`);
		// Changes come one by one, as they do in life; what is out of use is freed in between.
		await sleep(1);
	}
	const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
	await planner.close();
	return {
		fullMs,
		fullCpuMs: (user + system) / 1000,
		operations: ops,
		changesMs,
		residentMb: (Number(kib) * 1024) / 1e6,
	};
}

const [directory = '', changes = '0'] = process.argv.slice(2);
try {
	process.stdout.write(`${JSON.stringify(await measure(directory, Number(changes)))}\n`);
} finally {
	rmSync(directory, { recursive: true, force: true });
}
