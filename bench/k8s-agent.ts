/** What the figures of following an API server have in common: the built agent on a node of a test cluster, and what it takes. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { addressBytes } from '../agent/model/address.ts';
import { SvcKey, SvcScope } from '../native/abi/generated.ts';
import { BpfMap } from '../native/index.ts';
import { type ClusterSize, generatedSlice, serviceAddress } from '../test/apiserver/generate.ts';
import { type Cluster, type ClusterNode, Place } from '../test/lib/cluster.ts';

const START_LIMIT_MS = 600_000;
const CHANGE_LIMIT_NS = 10_000_000_000n;
/** Between two looks at a map. The measuring process must not take the CPU that it measures. */
const LOOK_MS = 0.1;

const sleeper = new Int32Array(new SharedArrayBuffer(4));

export function residentMb(pid: number): number {
	const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
	return (Number(kib) * 1024) / 1e6;
}

/** CPU seconds that the threads a process has now have used; times of scheduling, not samples of a tick. */
export function cpuSeconds(pid: number): number {
	let ns = 0;
	for (const thread of readdirSync(`/proc/${pid}/task`)) {
		ns += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
	}
	return ns / 1e9;
}

function serviceKey(n: number): Uint8Array {
	return SvcKey.encode({ addr: addressBytes(serviceAddress(n)), port: 80, proto: 6, scope: SvcScope.CLUSTER });
}

export interface RunningAgent {
	readonly pid: number;
	readonly startS: number;
	/** CPU time until then. */
	readonly startCpuS: number;
	readonly services: BpfMap;
}

/** Starts the built agent; resolves when pods could be attached, which is when everything is programmed. */
export async function startAgent(node: ClusterNode, services: number): Promise<RunningAgent> {
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
	const map = BpfMap.openPinned(join(node.bpffsDir, 'maps', 'fl_services_1'));
	for (let n = 0; n < services; n++) {
		if (map.get(serviceKey(n)) === undefined) throw new Error(`service ${n} is not programmed`);
	}
	return { pid: agent.pid, startS, startCpuS, services: map };
}

/** Writes one slice with one ready endpoint less; resolves with the milliseconds until the service's row has changed. */
async function change(cluster: Cluster, services: BpfMap, n: number, size: ClusterSize): Promise<number> {
	const key = serviceKey(n);
	const before = Buffer.from(services.get(key) ?? []);
	const reply = cluster.api.call('put', generatedSlice(n, size.endpoints, size.endpoints - 1, size.nodes));
	const limit = process.hrtime.bigint() + CHANGE_LIMIT_NS;
	let done = 0n;
	while (done === 0n) {
		const now = process.hrtime.bigint();
		if (!before.equals(services.get(key) ?? before)) done = now;
		else if (now > limit) throw new Error(`service ${n} did not change`);
		else {
			Atomics.wait(sleeper, 0, 0, LOOK_MS);
			await turn();
		}
	}
	const { writtenNs } = (await reply) as { writtenNs: string };
	return Number(done - BigInt(writtenNs)) / 1e6;
}

/** @returns milliseconds each, sorted */
export async function manyChanges(
	cluster: Cluster,
	services: BpfMap,
	size: ClusterSize,
	count: number,
	perSecond: number,
): Promise<readonly number[]> {
	const running: Promise<number>[] = [];
	const started = performance.now();
	for (let i = 0; i < count; i++) {
		const ahead = started + (i * 1000) / perSecond - performance.now();
		if (ahead > 0) await sleep(ahead);
		running.push(change(cluster, services, i, size));
	}
	return (await Promise.all(running)).sort((a, b) => a - b);
}
