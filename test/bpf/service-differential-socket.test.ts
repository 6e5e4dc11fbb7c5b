/** Random Services at real sockets: what connect() and sendto() come to is held against the simulator. */
import { resolve } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SvcFlags, SvcScope } from '../../native/abi/generated.ts';
import type { Row } from '../lib/dataplane.ts';
import { NetnsProcess } from '../lib/netns-process.ts';
import { simulate } from '../lib/service-oracle.ts';
import { ServiceMaps } from '../lib/service-oracle-maps.ts';
import { formatOutcome, formatProbe, type Outcome, PROTOCOLS, type Probe } from '../lib/service-oracle-probe.ts';
import { findService, type RulesWorld } from '../lib/service-rules.ts';
import { EMPTY_WORLD, PLACES } from '../service-cases/geography.ts';
import { KernelSync } from '../service-cases/kernel-sync.ts';
import { replaceMemories } from '../service-cases/memory.ts';
import { describeWorld, smallKernel, WorldPlanner } from '../service-cases/plan-world.ts';
import { probesOf } from '../service-cases/probes.ts';
import { randomWorld } from '../service-cases/random-world.ts';
import { randomRuns } from '../service-cases/seed.ts';
import type { Attempt, Attempted } from './socket-worker.ts';
import { WORLD } from './world.ts';

/** Of the peer tables the socket programs know nothing. */
const ABSENT = ['ipcache', 'cidrs', 'endpoints', 'ifaces', 'nodes', 'ports', 'inside', 'xdp_svc'];

/** Of random slices: 8080 or 9090, and one more for each port of the service. */
const TARGET_PORTS = [8080, 8081, 8082, 9090, 9091, 9092];

/** Whose sockets the worker's are: the programs tell the node's own by the network namespace. */
const CLIENTS = [
	{ kind: 'node', config: {} },
	{ kind: 'pod', config: { host_netns: 0 } },
] as const;
type Kind = (typeof CLIENTS)[number]['kind'];

/** Real sockets, and the maps behind them. */
class Sockets {
	readonly kind: Kind;
	readonly worker = new NetnsProcess(resolve(import.meta.dirname, 'socket-worker.ts'));
	readonly kernel = smallKernel();
	readonly #planner = new WorldPlanner(EMPTY_WORLD, this.kernel);
	readonly #sync: KernelSync;

	constructor(kind: Kind) {
		this.kind = kind;
		const maps = {
			set: (map: string, key: Uint8Array, value: Uint8Array) => this.worker.call<void>('set', map, key, value),
			delete: (map: string, key: Uint8Array) => this.worker.call<boolean>('delete', map, key),
		};
		this.#sync = new KernelSync(this.kernel, maps, ABSENT);
	}

	async start(config: Readonly<Record<string, number>>): Promise<void> {
		await this.worker.call('start', { ...WORLD, services: [], config: { ...WORLD.config, ...config } }, []);
		// Backends at the node's own address refuse by themselves unless somebody listens.
		for (const port of TARGET_PORTS) for (const address of PLACES.node) await this.worker.call('listen', address, port);
	}

	async plan(world: RulesWorld): Promise<ServiceMaps> {
		await this.#planner.plan(world);
		await this.#sync.sync();
		return new ServiceMaps(this.kernel);
	}

	/** What the programs remember, for the simulator. */
	async readMemories(): Promise<void> {
		replaceMemories(this.kernel, await this.worker.call<Row[]>('entries', 'affinity'));
	}

	attempt(mode: Attempt['mode'], probe: Probe): Promise<Attempted> {
		return this.worker.call<Attempted>('attempt', mode, probe.address, probe.port);
	}
}

/** The programs do not know the address of a pod's socket, and leave to the packet programs what depends on it. */
function isLeftToPackets(maps: ServiceMaps, { address, port, protocol }: Probe): boolean {
	const entry = [SvcScope.CLUSTER, SvcScope.EXTERNAL]
		.map((scope) => maps.service(address, port, PROTOCOLS[protocol], scope))
		.find((found) => found !== undefined);
	return (
		entry !== undefined && (entry.sourceSet !== 0 || (entry.flags & (SvcFlags.AFFINITY | SvcFlags.LEAST_CONN)) !== 0)
	);
}

function judge(probe: Probe, outcome: Outcome, left: boolean, got: Attempted): string | undefined {
	const text = got.error ?? got.backend ?? 'left as it is';
	if (!left && outcome.kind === 'dropped' && outcome.why === 'source not allowed') {
		return text === 'EPERM' ? undefined : `is not forbidden: ${text}`;
	}
	if (left || outcome.kind === 'dropped' || outcome.kind === 'not a service') {
		// Nobody listens at the node's ports: its stack says so.
		if (text === 'ECONNREFUSED' && PLACES.node.includes(probe.address as never)) return undefined;
		return text === 'left as it is' ? undefined : `is not left as it is: ${text}`;
	}
	if (outcome.kind === 'rejected') return text === 'ECONNREFUSED' ? undefined : `is not refused: ${text}`;
	const good = outcome.answers.some(({ address, port }) => `${address} ${port}` === text);
	return good ? undefined : `gets ${text}`;
}

async function compare(sockets: Sockets, world: RulesWorld, seen: Map<string, number>): Promise<void> {
	const maps = await sockets.plan(world);
	const clients: readonly string[] = sockets.kind === 'node' ? PLACES.node : PLACES.podA;
	const probes = probesOf(world).filter(({ path, client }) => path === 'socket' && clients.includes(client.address));
	for (const probe of probes) {
		const left = sockets.kind === 'pod' && isLeftToPackets(maps, probe);
		const modes: readonly Attempt['mode'][] = probe.protocol === 'TCP' ? ['tcp'] : ['udp', 'sendto'];
		for (const mode of modes) {
			if (findService(world, probe)?.service.spec.sessionAffinity === 'ClientIP') await sockets.readMemories();
			const outcome = simulate(maps, world.node, probe);
			// To a port without a service it may be an answer to a process that appears as the service's address.
			const answer = mode === 'sendto' && outcome.kind === 'rejected' && outcome.why === 'undefined port';
			const kind = left || answer ? 'left to the packet programs' : outcome.kind;
			seen.set(kind, (seen.get(kind) ?? 0) + 1);
			const fault = judge(probe, outcome, left || answer, await sockets.attempt(mode, probe));
			if (fault === undefined) continue;
			throw new Error(
				`${mode}: ${formatProbe(probe)}\n  maps: ${formatOutcome(outcome)}\n  but it ${fault}\n${describeWorld(world)}`,
			);
		}
	}
}

describe.each(CLIENTS)('the socket programs, for a process of a $kind', ({ kind, config }) => {
	let sockets: Sockets;
	beforeAll(async () => {
		sockets = new Sockets(kind);
		await sockets.start(config);
	}, 120_000);
	afterAll(() => sockets?.worker.close());

	it('do with connections to random services what the maps say', async () => {
		const seen = new Map<string, number>();
		const property = fc.asyncProperty(fc.noBias(randomWorld), (world) => compare(sockets, world, seen));
		await fc.assert(property, randomRuns(`maps against sockets of a ${kind}`, 15));
		console.info([...seen].map(([what, n]) => `${n} × ${what}`).join('\n'));
		if (process.env.FAIRLEAD_TEST_PATH === undefined) expect(seen.size).toBeGreaterThan(2);
	}, 300_000);
});
