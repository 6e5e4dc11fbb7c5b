/** What an agent costs that has nothing to do, and what a full plan of many services costs. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterView } from '../agent/model/cluster-view.ts';
import { type EndpointSlice, parseEndpointSlice } from '../agent/model/endpoint-slice.ts';
import { parseService, type Service } from '../agent/model/service.ts';
import { planServices } from '../agent/plan/services.ts';
import { endpointSliceObject, serviceObject } from '../test/lib/cluster/objects.ts';
import { Cluster, type ClusterNode, Place } from '../test/lib/cluster.ts';
import type { Figure, FigureInfo, Suite } from './figures.ts';
import { median, rounded, spread } from './figures.ts';

const SERVICES = 10_000;
const BACKENDS = 10;
const PLAN_RUNS = 5;
const SETTLE_MS = 15_000;
const WINDOW_MS = 10_000;
const WINDOWS = 3;
const TICKS_PER_SECOND = 100;

const FIGURES: readonly FigureInfo[] = [
	{ id: 'agent.idle.rss_mb', what: 'resident memory of an idle agent', target: { atMost: 110 } },
	{ id: 'agent.idle.cpu_pct', what: 'CPU of an idle agent, percent of a core', target: { atMost: 1 } },
	{ id: 'plan.full', what: `plan of ${SERVICES} services with ${BACKENDS} endpoints each, from nothing` },
];

/** Resident megabytes (10^6 bytes) of a process. */
function residentMb(pid: number): number {
	const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
	return (Number(kib) * 1024) / 1e6;
}

/** CPU seconds that a process has used, all threads. */
function cpuSeconds(pid: number): number {
	const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
	const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
	return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Starts the agent as it is installed: compiled JavaScript, not the sources. */
async function startBuiltAgent(node: ClusterNode): Promise<number> {
	const root = resolve(import.meta.dirname, '..');
	const main = join(root, 'dist/agent/main.js');
	if (!existsSync(main)) {
		throw new Error(`${main} does not exist: run "npm run build" first`);
	}
	const cgroup = join(node.nodeCgroup, 'agent');
	const place = new Place({ name: 'agent', netns: node.netns, cgroup, dir: node.dir });
	const agent = place.start('agent', [join(root, 'node_modules/.bin/node'), main, '--config', node.configFile]);
	await node.waitReady();
	return agent.pid;
}

async function measureIdle(progress: (text: string) => void): Promise<Figure[]> {
	const cluster = await Cluster.create({ nodes: 1, progress, withoutAgents: true });
	try {
		const pid = await startBuiltAgent(cluster.node(1));
		progress('letting the agent settle');
		await sleep(SETTLE_MS);
		const rss: number[] = [];
		const cpu: number[] = [];
		for (let i = 0; i < WINDOWS; i++) {
			const before = cpuSeconds(pid);
			await sleep(WINDOW_MS);
			cpu.push(((cpuSeconds(pid) - before) * 100_000) / WINDOW_MS);
			rss.push(residentMb(pid));
		}
		const common = { baseline: '', runs: WINDOWS };
		return [
			{ ...common, id: 'agent.idle.rss_mb', unit: 'MB', value: rounded(median(rss)), note: `spread ${spread(rss, 1)}` },
			{
				...common,
				id: 'agent.idle.cpu_pct',
				unit: '%',
				value: rounded(median(cpu)),
				note: `windows of ${WINDOW_MS / 1000} s; spread ${spread(cpu, 2)}`,
			},
		];
	} finally {
		await cluster.destroy();
	}
}

function validOf<T>(parsed: { ok: true; value: T } | { ok: false }): T {
	if (!parsed.ok) {
		throw new Error('a generated object is not valid');
	}
	return parsed.value;
}

/** A view of SERVICES services; endpoints spread over all nodes of a large cluster. */
function manyServices(): ClusterView {
	const services = new Map<string, Service>();
	const slices = new Map<string, EndpointSlice[]>();
	for (let n = 0; n < SERVICES; n++) {
		const spec = { name: `s${n}`, clusterIPs: [`10.96.${n >> 8}.${n & 255}`], ports: [{ name: 'http', port: 80 }] };
		const endpoints = Array.from({ length: BACKENDS }, (_, i) => {
			const at = n * BACKENDS + i;
			return {
				name: `p${at}`,
				nodeName: `node${at % 100}`,
				addresses: { IPv4: `10.${100 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}` },
			};
		});
		const key = `default/s${n}`;
		services.set(key, validOf(parseService(serviceObject(spec))));
		slices.set(key, [validOf(parseEndpointSlice(endpointSliceObject(spec, 'IPv4', endpoints)))]);
	}
	return {
		services,
		endpointSlices: new Map(),
		pods: new Map(),
		nodes: new Map(),
		namespaces: new Map(),
		networkPolicies: new Map(),
		clusterNetworkPolicies: new Map(),
		serviceCidrs: new Map(),
		slicesOf: (service) => slices.get(service) ?? [],
	};
}

function measurePlan(): Figure {
	const view = manyServices();
	const context = { node: { name: 'node1', zone: '', addresses: [], localAddresses: [] }, nodePortAddresses: [] };
	const took: number[] = [];
	for (let i = 0; i < PLAN_RUNS; i++) {
		const start = performance.now();
		const plans = planServices(view, [], context);
		took.push(performance.now() - start);
		if (plans.size !== SERVICES) {
			throw new Error(`${plans.size} services were planned, ${SERVICES} exist`);
		}
	}
	return {
		id: 'plan.full',
		value: rounded(median(took)),
		unit: 'ms',
		baseline: '',
		runs: PLAN_RUNS,
		note: `spread ${spread(took)}`,
	};
}

export const agentSuite: Suite = {
	name: 'agent',
	figures: FIGURES,
	async run(ids, progress) {
		const idle = ids.has('agent.idle.rss_mb') || ids.has('agent.idle.cpu_pct') ? await measureIdle(progress) : [];
		const plan = ids.has('plan.full') ? [measurePlan()] : [];
		return [...idle, ...plan].filter((f) => ids.has(f.id));
	},
};
