/**
 * What this node says of itself to load balancers, probes and scrapes: /healthz and /livez, the health check ports of
 * services, and the metrics address with what kube-proxy serves there.
 */
import type { Logger } from 'pino';
import type { EffectiveConfig } from '../config/config.ts';
import { healthRoutes, type Readiness } from '../health/health.ts';
import type { HttpAnswer, HttpRoute } from '../health/http-server.ts';
import { type HealthContext, planServiceHealth } from '../health/service-health.ts';
import { ServiceHealthServers } from '../health/service-health-servers.ts';
import { SteadyServer } from '../health/steady-server.ts';
import { type SyncReport, SyncTracker } from '../health/sync-tracker.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { familyOf } from '../model/address.ts';
import { type EventRecorder, nodeRef } from '../model/event.ts';
import type { NodeFacts } from '../model/node-facts.ts';
import { selectNodePortAddresses } from '../plan/services.ts';
import type { ClusterStore } from '../sources/store.ts';

/** What /proxyMode answers: kube-proxy names its back end there, and test suites skip what that one cannot do. */
export const PROXY_MODE = 'fairlead';

export interface NodeHealthOptions {
	readonly store: ClusterStore;
	/** Changes when `auto` values become known. */
	readonly config: () => EffectiveConfig;
	readonly metrics: () => Metrics;
	readonly readiness: () => Readiness;
	readonly events: EventRecorder;
	readonly log: Logger;
}

export class NodeHealth {
	readonly tracker: SyncTracker;
	readonly #options: NodeHealthOptions;
	readonly #servers: readonly SteadyServer[];
	readonly #services: ServiceHealthServers;
	#context: HealthContext | undefined;
	/** Services that found no room: nobody is to send their traffic here. */
	#refused: ReadonlySet<string> = new Set();

	/** @throws CONFIG_INVALID */
	constructor(options: NodeHealthOptions) {
		this.#options = options;
		const { log, metrics, events } = options;
		this.tracker = new SyncTracker({
			onSync: (...args) => metrics().proxy.onSync(...args),
			onProgrammed: (...args) => metrics().proxy.onProgrammed(...args),
		});
		const { healthzBindAddress, metricsBindAddress } = options.config().values;
		this.#servers = [
			this.#server('healthz', healthzBindAddress, this.#healthRoutes()),
			this.#server('metrics', metricsBindAddress, this.#metricsRoutes()),
		];
		this.#services = new ServiceHealthServers({
			events,
			proxyHealthy: (owner) => this.tracker.health().healthy && !this.#refused.has(owner),
			onProblems: (problems) => {
				if (problems.length > 0) log.warn({ problems }, 'health checks of services not served');
				else log.info('health checks of services served again');
			},
		});
	}

	/** Opens what does not depend on the dataplane. Never throws: what cannot listen yet is tried again. */
	async serve(): Promise<void> {
		await Promise.all(this.#servers.map((server) => server.start()));
	}

	/** Before the first sync of the services. */
	start(facts: NodeFacts): void {
		this.tracker.start(new Set([...facts.addresses, ...facts.podCidrs].map(familyOf)), this.#options.store);
		this.onFacts(facts);
	}

	/** Objects of these services ('namespace/name') have changed. */
	onChange(names: Iterable<string>): void {
		const changed = [...names];
		this.tracker.changed(changed, this.#options.store);
		this.#planServices(changed);
	}

	/** The node's addresses may have changed; what could not listen is tried again. */
	onFacts(facts: NodeFacts): void {
		const { nodePortAddresses: setting, serviceProxyName: proxyName } = this.#options.config().values;
		const nodePortAddresses = selectNodePortAddresses(facts, setting[0] === 'primary' ? 'primary' : setting);
		const before = JSON.stringify(this.#context);
		this.#context = { nodeName: facts.name, nodePortAddresses, proxyName };
		if (JSON.stringify(this.#context) === before) this.#services.sync();
		else this.#planServices(this.#options.store.services.keys());
	}

	/** A run of the services reconciler has ended. */
	onSync(report: SyncReport): void {
		this.#tellRefused(report.refused);
		this.#refused = new Set(report.refused);
		this.tracker.finished(report);
	}

	/** About the node, not about each Service: every node may be as full. */
	#tellRefused(refused: readonly string[]): void {
		const [first] = refused.filter((name) => !this.#refused.has(name)).sort();
		if (first === undefined) return;
		const { events, config } = this.#options;
		const text = `${refused.length} Services find no room in the maps and are not served here, ${first} among them`;
		events.event(nodeRef(config().values.nodeName), 'Warning', 'MapFull', text);
	}

	/** What people should know although pods are served. */
	warnings(): readonly string[] {
		const servers = this.#servers.map(({ problem }) => problem).filter((problem) => problem !== '');
		return [...servers, ...this.#services.problems];
	}

	async close(): Promise<void> {
		await this.#services.close();
		for (const server of this.#servers) await server.close();
	}

	#planServices(names: Iterable<string>): void {
		const context = this.#context;
		if (context === undefined) return;
		const { store } = this.#options;
		const plans = new Map(
			[...names].map((name) => {
				const service = store.services.get(name);
				return [name, service === undefined ? [] : planServiceHealth(service, store.slicesOf(name), context)] as const;
			}),
		);
		if (plans.size > 0) this.#services.update(plans);
	}

	/** Load balancers have to leave a node that is gone or going; while nothing is known yet it may stay. */
	#nodeEligible(): boolean {
		const { store, config } = this.#options;
		if (!store.synced) return true;
		const node = store.nodes.get(config().values.nodeName);
		return node !== undefined && !node.goingAway;
	}

	#healthRoutes(): Readonly<Record<string, HttpRoute>> {
		return healthRoutes({
			readiness: this.#options.readiness,
			proxyHealth: () => this.tracker.health(),
			nodeEligible: () => this.#nodeEligible(),
			onAnswered: (probe, status) => this.#options.metrics().proxy.onProbe(probe, status),
		});
	}

	#metricsRoutes(): Readonly<Record<string, HttpRoute>> {
		return {
			'/metrics': () => this.#options.metrics().scrape(),
			'/proxyMode': () => ({ status: 200, body: PROXY_MODE }),
			'/healthz': () => ({ status: 200, body: 'ok' }),
			'/configz': () => this.#configz(),
		};
	}

	#configz(): HttpAnswer {
		return {
			status: 200,
			contentType: 'application/json',
			body: JSON.stringify({ fairlead: this.#options.config().values }),
		};
	}

	#server(name: string, address: string, routes: Readonly<Record<string, HttpRoute>>): SteadyServer {
		const { log } = this.#options;
		return new SteadyServer({
			address,
			routes,
			onProblem: (problem) => {
				if (problem === '') log.info({ server: name, address }, 'server listens');
				else log.warn({ server: name, problem }, 'server does not listen yet');
			},
		});
	}
}
