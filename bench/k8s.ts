/**
 * What following an API server costs: start, memory, and changes at 10,000 services of 10 endpoints; the same with the nodes, pods
 * and policies of a large cluster. The test API server is a process of its own, objects have the size of real ones (pods are smaller),
 * the agent is the built one.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterSize } from '../test/apiserver/generate.ts';
import { Cluster } from '../test/lib/cluster.ts';
import type { Figure, FigureInfo, Suite } from './figures.ts';
import { median, rounded, spread } from './figures.ts';
import { cpuSeconds, manyChanges, residentMb, startAgent } from './k8s-agent.ts';

const SERVICES: ClusterSize = { services: 10_000, endpoints: 10 };
const LARGE: ClusterSize = { ...SERVICES, nodes: 5000, pods: 150_000, policies: 1000 };
const RUNS = 3;
const CHANGES = 2000;
const CHANGES_PER_SECOND = 100;
/** After the start: garbage is given back five seconds after it, which takes seconds itself while others use the machine. */
const SETTLE_MS = 12_000;
const SETTLE_LIMIT_MS = 90_000;
/** Resident memory is that of the start until it has stayed for a while. */
const SETTLED_MS = 6_000;

const PODS_TEXT = '150,000 pods, 5,000 nodes and 1,000 policies';
const FIGURES: readonly FigureInfo[] = [
	{
		id: 'k8s.start.s',
		what: `agent start to all programmed, 10000 services of 10 endpoints over the API`,
		target: { atMost: 4 },
	},
	{ id: 'k8s.rss_mb', what: 'resident memory of the agent then', target: { atMost: 260 } },
	{
		id: 'k8s.change.p99_ms',
		what: `one EndpointSlice written in the API server to maps done, 99th percentile under ${CHANGES_PER_SECOND} changes/s`,
		target: { atMost: 5 },
	},
	{ id: 'k8s.cpu_pct', what: 'CPU of the agent under that load, percent of a core', target: { atMost: 15 } },
	{ id: 'k8s.pods.rss_mb', what: `resident memory with ${PODS_TEXT} besides`, target: { atMost: 450 } },
	{ id: 'k8s.pods.start.s', what: `agent start to all programmed with ${PODS_TEXT}` },
	{ id: 'k8s.pods.change.p99_ms', what: `as k8s.change.p99_ms, with ${PODS_TEXT}` },
	{ id: 'k8s.pods.cpu_pct', what: `as k8s.cpu_pct, with ${PODS_TEXT}` },
];

interface Run {
	readonly startS: number;
	/** CPU time of the agent until then. */
	readonly startCpuS: number;
	readonly rssMb: number;
	/** Sorted. */
	readonly changesMs: readonly number[];
	readonly cpuPct: number;
	/** After the changes. */
	readonly rssAfterMb: number;
}

/** @returns resident memory once it has stayed as it is */
async function settledMb(pid: number): Promise<number> {
	const began = performance.now();
	await sleep(SETTLE_MS);
	let before = Number.POSITIVE_INFINITY;
	let now = residentMb(pid);
	while (Math.abs(now - before) > 1 && performance.now() - began < SETTLE_LIMIT_MS) {
		await sleep(SETTLED_MS);
		[before, now] = [now, residentMb(pid)];
	}
	return now;
}

async function measureOnce(size: ClusterSize, progress: (text: string) => void): Promise<Run> {
	const cluster = await Cluster.create({
		nodes: 1,
		source: 'kubernetes',
		withoutAgents: true,
		// nothing is to be kept for another server process
		apiServer: { size, bookmarkMs: 60_000, journal: '/dev/null' },
		families: ['IPv4'],
		// every pod's address has a row while policies select pods
		config: { maps: { ipcache: 262_144 } },
	});
	try {
		await cluster.api.flush();
		const { pid, startS, startCpuS, services } = await startAgent(cluster.node(1), size.services);
		progress(`up after ${startS.toFixed(2)} s; letting it settle`);
		const rssMb = await settledMb(pid);
		progress(`${rssMb.toFixed(0)} MB; changing`);
		const [cpu, began] = [cpuSeconds(pid), performance.now()];
		const changesMs = await manyChanges(cluster, services, size, CHANGES, CHANGES_PER_SECOND);
		const cpuPct = ((cpuSeconds(pid) - cpu) * 100_000) / (performance.now() - began);
		services.close();
		return { startS, startCpuS, rssMb, changesMs, cpuPct, rssAfterMb: residentMb(pid) };
	} finally {
		await cluster.destroy();
	}
}

async function measure(size: ClusterSize, progress: (text: string) => void): Promise<readonly Run[]> {
	const runs: Run[] = [];
	for (let i = 0; i < RUNS; i++) {
		progress(`run ${i + 1} of ${RUNS}`);
		runs.push(await measureOnce(size, progress));
	}
	return runs;
}

function percentile(sorted: readonly number[], p: number): number {
	return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN;
}

function figure(id: string, unit: string, values: readonly number[], digits: number, more = ''): Figure {
	const note = `spread ${spread(values, digits)}${more}`;
	return { id, value: rounded(median(values)), unit, baseline: '', runs: values.length, note };
}

/** @param prefix  of the ids */
function figuresOf(prefix: string, runs: readonly Run[]): readonly Figure[] {
	const of = (pick: (run: Run) => number): number[] => runs.map(pick);
	const half = median(of(({ changesMs }) => percentile(changesMs, 0.5)));
	const startCpu = median(of(({ startCpuS }) => startCpuS)).toFixed(1);
	const after = median(of(({ rssAfterMb }) => rssAfterMb)).toFixed(0);
	return [
		figure(
			`${prefix}.start.s`,
			's',
			of(({ startS }) => startS),
			2,
			`; from process start; CPU time ${startCpu}`,
		),
		figure(
			`${prefix}.rss_mb`,
			'MB',
			of(({ rssMb }) => rssMb),
			0,
			`; ${after} after the changes`,
		),
		figure(
			`${prefix}.change.p99_ms`,
			'ms',
			of(({ changesMs }) => percentile(changesMs, 0.99)),
			2,
			`; ${CHANGES} changes per run; median ${half.toFixed(2)}`,
		),
		figure(
			`${prefix}.cpu_pct`,
			'%',
			of(({ cpuPct }) => cpuPct),
			1,
		),
	];
}

export const k8sSuite: Suite = {
	name: 'k8s',
	figures: FIGURES,
	async run(ids, progress) {
		const figures: Figure[] = [];
		for (const [prefix, size] of [
			['k8s', SERVICES],
			['k8s.pods', LARGE],
		] as const) {
			const wanted = [...ids].some(
				(id) => id.startsWith(`${prefix}.`) && (prefix !== 'k8s' || !id.startsWith('k8s.pods.')),
			);
			if (wanted) figures.push(...figuresOf(prefix, await measure(size, progress)));
		}
		return figures.filter(({ id }) => ids.has(id));
	},
};
