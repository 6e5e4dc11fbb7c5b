/**
 * What following an API server costs: start, memory, and changes at 10,000 services of 10 endpoints. The test API server is a
 * process of its own, objects have the size of real ones, the agent is the built one.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { addressBytes } from '../agent/model/address.ts';
import { SvcKey, SvcScope } from '../native/abi/generated.ts';
import { BpfMap } from '../native/index.ts';
import { generatedSlice, serviceAddress } from '../test/apiserver/generate.ts';
import { Cluster, type ClusterNode, Place } from '../test/lib/cluster.ts';
import type { Figure, FigureInfo, Suite } from './figures.ts';
import { median, rounded, spread } from './figures.ts';

const SERVICES = 10_000;
const ENDPOINTS = 10;
const RUNS = 3;
const CHANGES = 2000;
const CHANGES_PER_SECOND = 100;
/** After the start: garbage is given back five seconds after it. */
const SETTLE_MS = 12_000;
const START_LIMIT_MS = 120_000;
const CHANGE_LIMIT_NS = 10_000_000_000n;
const TICKS_PER_SECOND = 100;

const FIGURES: readonly FigureInfo[] = [
	{
		id: 'k8s.start.s',
		what: `agent start to all programmed, ${SERVICES} services of ${ENDPOINTS} endpoints over the API`,
		target: { atMost: 4 },
	},
	{ id: 'k8s.rss_mb', what: 'resident memory of the agent then', target: { atMost: 260 } },
	{
		id: 'k8s.change.p99_ms',
		what: `one EndpointSlice written in the API server to maps done, 99th percentile under ${CHANGES_PER_SECOND} changes/s`,
		target: { atMost: 5 },
	},
	{ id: 'k8s.cpu_pct', what: 'CPU of the agent under that load, percent of a core', target: { atMost: 15 } },
];

interface Run {
	readonly startS: number;
	/** CPU time of the agent until then. */
	readonly startCpuS: number;
	readonly rssMb: number;
	readonly changesMs: readonly number[];
	readonly cpuPct: number;
}

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

function serviceKey(n: number): Uint8Array {
	return SvcKey.encode({ addr: addressBytes(serviceAddress(n)), port: 80, proto: 6, scope: SvcScope.CLUSTER });
}

/** Starts the built agent; resolves when pods could be attached, which is when everything is programmed. */
async function startAgent(
	node: ClusterNode,
): Promise<{ pid: number; startS: number; startCpuS: number; services: BpfMap }> {
	const root = resolve(import.meta.dirname, '..');
	const main = join(root, 'dist/agent/main.js');
	if (!existsSync(main)) throw new Error(`${main} does not exist: run "npm run build" first`);
	const place = new Place({ name: 'agent', netns: node.netns, cgroup: join(node.nodeCgroup, 'agent'), dir: node.dir });
	const started = performance.now();
	const agent = place.start('agent', [join(root, 'node_modules/.bin/node'), main, '--config', node.configFile]);
	const conflist = join(node.confDir, '05-fairlead.conflist');
	while (!existsSync(conflist)) {
		if (!agent.running()) throw new Error(`the agent ended: ${node.agentLogTail(5)}`);
		if (performance.now() - started > START_LIMIT_MS) throw new Error(`not up after ${START_LIMIT_MS} ms`);
		await sleep(5);
	}
	const startS = (performance.now() - started) / 1000;
	const startCpuS = cpuSeconds(agent.pid);
	const services = BpfMap.openPinned(join(node.bpffsDir, 'maps', 'fl_services_1'));
	for (let n = 0; n < SERVICES; n++) {
		if (services.get(serviceKey(n)) === undefined) throw new Error(`service ${n} is not programmed`);
	}
	return { pid: agent.pid, startS, startCpuS, services };
}

/** Writes one slice; resolves with the time until the service's row has changed. */
async function change(cluster: Cluster, services: BpfMap, n: number, ready: number): Promise<number> {
	const key = serviceKey(n);
	const before = Buffer.from(services.get(key) ?? []);
	const reply = cluster.api.call('put', generatedSlice(n, ENDPOINTS, ready));
	const limit = process.hrtime.bigint() + CHANGE_LIMIT_NS;
	let done = 0n;
	while (done === 0n) {
		const now = process.hrtime.bigint();
		if (!before.equals(services.get(key) ?? before)) done = now;
		else if (now > limit) throw new Error(`service ${n} did not change`);
		else await turn();
	}
	const { writtenNs } = (await reply) as { writtenNs: string };
	return Number(done - BigInt(writtenNs)) / 1e6;
}

async function manyChanges(cluster: Cluster, services: BpfMap): Promise<number[]> {
	const running: Promise<number>[] = [];
	const started = performance.now();
	for (let i = 0; i < CHANGES; i++) {
		const ahead = started + (i * 1000) / CHANGES_PER_SECOND - performance.now();
		if (ahead > 0) await sleep(ahead);
		running.push(change(cluster, services, i, ENDPOINTS - 1));
	}
	return Promise.all(running);
}

async function measureOnce(progress: (text: string) => void): Promise<Run> {
	const server = { services: { count: SERVICES, endpoints: ENDPOINTS }, bookmarkMs: 60_000 };
	const cluster = await Cluster.create({
		nodes: 1,
		source: 'kubernetes',
		withoutAgents: true,
		apiServer: server,
		families: ['IPv4'],
	});
	try {
		await cluster.api.flush();
		const { pid, startS, startCpuS, services } = await startAgent(cluster.node(1));
		progress(`up after ${startS.toFixed(2)} s; letting it settle`);
		await sleep(SETTLE_MS);
		const rssMb = residentMb(pid);
		progress(`${rssMb.toFixed(0)} MB; changing`);
		const [cpu, began] = [cpuSeconds(pid), performance.now()];
		const changesMs = await manyChanges(cluster, services);
		const cpuPct = ((cpuSeconds(pid) - cpu) * 100_000) / (performance.now() - began);
		services.close();
		return { startS, startCpuS, rssMb, changesMs: changesMs.sort((a, b) => a - b), cpuPct };
	} finally {
		await cluster.destroy();
	}
}

function percentile(sorted: readonly number[], p: number): number {
	return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN;
}

function figure(id: string, unit: string, values: readonly number[], digits: number, more = ''): Figure {
	const note = `spread ${spread(values, digits)}${more}`;
	return { id, value: rounded(median(values)), unit, baseline: '', runs: values.length, note };
}

export const k8sSuite: Suite = {
	name: 'k8s',
	figures: FIGURES,
	async run(ids, progress) {
		const runs: Run[] = [];
		for (let i = 0; i < RUNS; i++) {
			progress(`run ${i + 1} of ${RUNS}`);
			runs.push(await measureOnce(progress));
		}
		const half = median(runs.map(({ changesMs }) => percentile(changesMs, 0.5)));
		const p99 = runs.map(({ changesMs }) => percentile(changesMs, 0.99));
		return [
			figure(
				'k8s.start.s',
				's',
				runs.map(({ startS }) => startS),
				2,
				`; from process start; CPU time ${median(runs.map(({ startCpuS }) => startCpuS)).toFixed(1)}`,
			),
			figure(
				'k8s.rss_mb',
				'MB',
				runs.map(({ rssMb }) => rssMb),
				0,
			),
			figure('k8s.change.p99_ms', 'ms', p99, 2, `; ${CHANGES} changes per run; median ${half.toFixed(2)}`),
			figure(
				'k8s.cpu_pct',
				'%',
				runs.map(({ cpuPct }) => cpuPct),
				1,
			),
		].filter(({ id }) => ids.has(id));
	},
};
