import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { HostPort } from '../agent/model/host-port.ts';
import type { NodeFacts } from '../agent/model/node-facts.ts';
import { allServiceCidrs } from '../agent/model/service-cidr.ts';
import { planPeers } from '../agent/plan/peers.ts';
import type { RoutingSettings } from '../agent/plan/routing.ts';
import { planRouting } from '../agent/plan/routing.ts';
import type { RoutingPlan } from '../agent/plan/routing-plan.ts';
import type { OwnerPlan } from '../agent/plan/services.ts';
import { planServices, type ServicesContext, selectNodePortAddresses } from '../agent/plan/services.ts';
import { reconcilePeers } from '../agent/reconcile/nodes.ts';
import { ServicesReconciler } from '../agent/reconcile/services.ts';
import { inOrder } from '../agent/reconcile/services-ops.ts';
import { PeerIndex } from '../agent/reconcile/services-peers.ts';
import { loadFile } from '../agent/sources/files/load.ts';
import { ClusterStore } from '../agent/sources/store.ts';
import { FACTS, ROUTING } from './lib/cluster-builder.ts';
import { FakeKernel } from './lib/fake-kernel.ts';
import { dumpPeers, dumpServices, formatServiceOps } from './lib/map-dump.ts';

/**
 * Each folder is a case: cluster.yaml (objects), optionally change.yaml (the objects afterwards) and case.yaml
 * (node facts, routing, host ports). The result is compared with expected.maps, and the operations of the last step
 * with expected.ops. UPDATE_GOLDEN=1 writes both anew; read the difference before you commit it.
 */
const ROOT = join(dirname(fileURLToPath(import.meta.url)), 'golden');

interface Case {
	readonly node?: Partial<NodeFacts>;
	readonly routing?: Partial<RoutingSettings>;
	readonly clusterCidrs?: readonly string[];
	readonly nonMasqueradeCidrs?: readonly string[];
	readonly nodePortAddresses?: readonly string[];
	/** Settings of the service planner. */
	readonly services?: Partial<ServicesContext>;
	/** Milliseconds between cluster.yaml and change.yaml; transitions of tables last a second here. */
	readonly waitMs?: number;
	readonly hostPorts?: readonly HostPort[];
}

function read(folder: string, file: string): string | undefined {
	const path = join(ROOT, folder, file);
	return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

function storeOf(text: string): ClusterStore {
	const content = loadFile('cluster.yaml', text, undefined);
	expect(content.problems).toEqual([]);
	const store = new ClusterStore();
	for (const object of content.objects.values()) store.set(object.kind, object.key, object.value);
	return store;
}

/** Runs the case; every step is a new delivery of all objects to the same agent. */
async function run(folder: string): Promise<{ maps: string; ops: string }> {
	const options = (parse(read(folder, 'case.yaml') ?? '{}') ?? {}) as Case;
	const facts: NodeFacts = { ...FACTS, ...options.node };
	const settings: RoutingSettings = { ...ROUTING, ...options.routing };
	const kernel = new FakeKernel();
	let ops: string[] = [];
	let nowMs = 0;
	const owners = new PeerIndex();
	const reconciler = new ServicesReconciler({
		kernel,
		onOps: (set) => (ops = formatServiceOps(inOrder(set))),
		peerOf: (address) => owners.of(address),
		transitionMs: 1000,
		now: () => nowMs,
	});
	let outside: string[] = [];
	for (const file of ['cluster.yaml', 'change.yaml']) {
		const text = read(folder, file);
		if (text === undefined) continue;
		ops = [];
		const store = storeOf(text);
		const serviceCidrs = allServiceCidrs(settings.serviceCidrs, store.serviceCidrs.values());
		const routing = planRouting(store.nodes.values(), facts, { ...settings, serviceCidrs });
		const cidrs = {
			clusterCidrs: options.clusterCidrs ?? [],
			nonMasqueradeCidrs: options.nonMasqueradeCidrs ?? [],
			serviceCidrs,
		};
		const calls = kernel.log.length;
		const peersPlan = planPeers(routing.peers, facts, cidrs);
		const peers = reconcilePeers(peersPlan, { uplinkIfindex: 2, overlayIfindex: 9 }, kernel);
		const peerCalls = kernel.log.slice(calls).map(({ call, map }) => `${call} ${map}`.trim());
		const rows = reconciler.updatePeers(owners.setNodes(peersPlan, peers.assignments));
		if (rows > 0) peerCalls.push(`store owners of ${rows} backends`);
		const nodePortAddresses = selectNodePortAddresses(facts, options.nodePortAddresses ?? 'primary');
		const context = { node: facts, nodePortAddresses, ...options.services };
		const plans = planServices(store, options.hostPorts ?? [], context);
		const report =
			file === 'cluster.yaml'
				? await reconciler.replaceAll(plans)
				: await reconciler.update(withRemovals(plans, reconciler));
		nowMs += options.waitMs ?? 1000;
		expect([...report.problems, ...peers.problems]).toEqual([]);
		ops.push(...peerCalls);
		outside = formatOutside(routing.plan, reconciler);
	}
	const maps = [...dumpServices(kernel), ...dumpPeers(kernel), ...outside];
	return { maps: `${maps.join('\n')}\n`, ops: `${ops.join('\n')}\n` };
}

/** An update names every owner that is gone. */
function withRemovals(plans: Map<string, OwnerPlan>, reconciler: ServicesReconciler): Map<string, OwnerPlan> {
	for (const name of reconciler.serviceNames().values()) {
		const owner = name.slice(0, name.indexOf(':'));
		if (!plans.has(owner)) plans.set(owner, { ports: [], problems: [] });
	}
	return plans;
}

/** What the plan wants outside the maps, and what it complains about. */
function formatOutside(plan: RoutingPlan, reconciler: ServicesReconciler): string[] {
	const routes = plan.routes.map((r) => {
		const way =
			r.type === 'unreachable'
				? 'unreachable'
				: `via ${r.gateway} dev ${r.device}${r.onlink ? ' onlink' : ''} src ${r.source}`;
		return `  ${r.dst} ${way}`;
	});
	const problems = [
		...reconciler.problems().map(({ owner, message }) => `  ${owner}: ${message}`),
		...plan.problems.map(({ node, message }) => `  node ${node}: ${message}`),
	];
	return [`pods: mtu ${plan.podMtu}`, ...section('routes', routes), ...section('problems', problems)];
}

function section(name: string, lines: readonly string[]): string[] {
	return lines.length === 0 ? [] : [name, ...lines];
}

function check(folder: string, file: string, got: string): void {
	const path = join(ROOT, folder, file);
	if (process.env.UPDATE_GOLDEN === '1') writeFileSync(path, got);
	expect(got, `${folder}/${file}; UPDATE_GOLDEN=1 writes it anew`).toBe(read(folder, file) ?? '');
}

const CASES = readdirSync(ROOT, { withFileTypes: true })
	.filter((entry) => entry.isDirectory())
	.map(({ name }) => name);

describe('golden cases', () => {
	it('are there', () => {
		expect(CASES.length).toBeGreaterThan(8);
	});

	it.each(CASES)('%s gives the expected maps and operations', async (folder) => {
		const { maps, ops } = await run(folder);
		check(folder, 'expected.maps', maps);
		check(folder, 'expected.ops', ops);
	});

	it.each(CASES)('%s says in its README what it shows', (folder) => {
		expect(read(folder, 'README.md')?.length ?? 0).toBeGreaterThan(20);
	});
});
