/**
 * Makes the parts that follow the cluster and the node, of what they have in common. Whom they tell is the agent's business.
 */
import type { Logger } from 'pino';
import { netlinkRequest } from '../../native/index.ts';
import type { Config } from '../config/schema.ts';
import { ctTimeoutsOf } from '../kernel/ct-timeouts.ts';
import type { JiffiesClock } from '../kernel/jiffies.ts';
import { countClosed } from '../kernel/open-connections.ts';
import type { LeadsTo } from '../kernel/sock-destroy.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { ClusterStore } from '../sources/store.ts';
import { FlowCollector, type FlowCollectorOptions, flowTables } from './collector.ts';
import type { Dataplane } from './dataplane.ts';
import { FlowEnder } from './flow-ender.ts';
import type { NodeLife } from './node-life.ts';
import { NodeWatch } from './node-watch.ts';
import type { Pods, PodsOptions } from './pods.ts';
import { Policies, type PoliciesOptions } from './policies.ts';
import { isKept, ServicePlanner, type ServicePlannerOptions } from './services.ts';
import { SocketEnder } from './socket-ender.ts';

export interface Common {
	readonly config: Config;
	readonly store: ClusterStore;
	readonly dataplane: Dataplane;
	readonly pods: Pods;
	readonly metrics: Metrics;
	readonly life: NodeLife;
	readonly log: Logger;
}

export function makePlanner(
	{ config, store, dataplane, pods, log }: Common,
	clock: JiffiesClock,
	told: Pick<ServicePlannerOptions, 'onBackendsGone' | 'onReport' | 'onProblems'> & Pick<PodsOptions, 'onFlowsEnded'>,
): ServicePlanner {
	const flows = new FlowEnder({
		...{ maps: flowTables(dataplane.datapath), clock, log },
		nodeAddresses: () => dataplane.ownAddresses,
		onEnded: ({ byRule, closedAtBackends }) => {
			countClosed(dataplane.datapath.kernel, closedAtBackends);
			told.onFlowsEnded(byRule);
		},
	});
	return new ServicePlanner({
		...{ config, view: store, peers: dataplane.peers, flows, ...told },
		kernel: dataplane.servicesKernel(),
		jiffies: clock,
		facts: () => dataplane.facts,
		hostPorts: () => pods.hostPorts(),
		pods: () => pods.list(),
	});
}

export function makePolicies(
	{ config, store, dataplane, pods, life }: Common,
	told: Pick<PoliciesOptions, 'isolateUnknown' | 'domains' | 'onReport' | 'onProblems'>,
): Policies {
	const { nodeName, policyAuditMode: audit } = config;
	const { kernel } = dataplane.datapath;
	return new Policies({ ...{ view: store, kernel, nodeName, audit, pods, events: life.events }, ...told });
}

export function openSockets({ store, dataplane, pods, metrics, log }: Common, leadsTo: LeadsTo): Promise<SocketEnder> {
	return SocketEnder.open({
		request: netlinkRequest,
		kernel: dataplane.datapath.kernel,
		namespaces: () => pods.list().map(({ netns }) => netns),
		leadsTo,
		isKept: (backend) => isKept(store, backend),
		onEnded: (count) => metrics.recordSocketsEnded(count),
		log,
	});
}

export function makeCollector(
	{ config, dataplane, metrics, log }: Common,
	clock: JiffiesClock,
	told: Pick<FlowCollectorOptions, 'onReport' | 'onDone'>,
): FlowCollector {
	return new FlowCollector({
		...{ dataplane, clock, log, ...told },
		timeouts: ctTimeoutsOf(config.ctTimeouts),
		onFamily: (family, { seconds, deleted }) => metrics.proxy.onConntrack(family, seconds, deleted),
	});
}

export function makeWatch(
	{ config, store, dataplane, pods, life, log }: Common,
	told: { readonly useTcx: boolean; readonly repairDevices: () => void },
): NodeWatch {
	return new NodeWatch({
		...{ nodeName: config.nodeName, view: store, dataplane, pods, log, events: life.events, ...told },
		warn: (reason, message) => life.warn(reason, message),
	});
}
