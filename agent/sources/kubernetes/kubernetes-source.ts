/**
 * The API server as the source of desired state: a reflector per kind fills the store. The store counts as synced when every
 * kind has been listed completely; from then on nothing that the API server does or fails to do takes anything away.
 */
import type { Kind } from '../../model/cluster-view.ts';
import { errorMessage } from '../../model/errors.ts';
import type { FieldIssue } from '../../model/fields.ts';
import { identityOf } from '../objects.ts';
import type { SourceProblem } from '../problem.ts';
import type { ClusterStore } from '../store.ts';
import { type AccessLoader, loadClusterAccess } from './access.ts';
import { ApiClient, type TimeLimits } from './api-client.ts';
import { askPod } from './pod-asker.ts';
import { PodLayers } from './pod-layers.ts';
import { PolicyGate } from './policy-gate.ts';
import { type ObjectSink, Reflector, type ServerState } from './reflector.ts';
import { podsOfOthers, type WatchedResource, watchedResources } from './resources.ts';
import { ServerList } from './servers.ts';
import { API_SERVICE, readServers, serversOf, writeServers } from './told-servers.ts';

export interface KubernetesSourceOptions {
	readonly store: ClusterStore;
	/** Own Node. */
	readonly nodeName: string;
	/** Services with this label are followed; absent = those without the label. */
	readonly serviceProxyName?: string;
	/** Path; '' = service account of the pod. */
	readonly kubeconfig: string;
	/** URLs that are used instead of the one in the kubeconfig or the environment of the pod; empty = that one. */
	readonly servers: readonly string[];
	/** File that remembers where the API servers were. */
	readonly rememberedFile: string;
	/** Pods of all nodes are followed even if no policy needs them. */
	readonly allPods?: boolean;
	/** All current problems, called whenever they changed. */
	readonly onProblems?: (problems: readonly SourceProblem[]) => void;
	/** Once when every kind is followed, once when some are no longer. @param reason  '' = connected */
	readonly onConnection?: (connected: boolean, server: string, reason: string) => void;
	/** For tests. */
	readonly load?: AccessLoader;
	readonly limits?: TimeLimits;
	readonly random?: () => number;
	readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
	/** How long all pods are followed after nothing selects them any more: policies come and go. */
	readonly forgetPodsMs?: number;
	/** How long policies wait at most for the pods that they select: an API server that is away must not suspend them. */
	readonly holdPoliciesMs?: number;
}

interface ObjectFault {
	/** Name of the reflector. */
	readonly from: string;
	readonly issues: readonly FieldIssue[];
	readonly keptLastGood: boolean;
}

const POLICY_KINDS: readonly Kind[] = ['NetworkPolicy', 'ClusterNetworkPolicy'];
const FORGET_PODS_MS = 60_000;
const HOLD_POLICIES_MS = 30_000;
/** Names of reflectors are the kinds, but for this one. */
const OTHER_PODS = 'Pod of other nodes';
const KUBE_SYSTEM = { fieldSelector: 'metadata.name=kube-system', limit: 1 };

export class KubernetesSource {
	readonly #options: KubernetesSourceOptions;
	readonly #client: ApiClient;
	readonly #reflectors: readonly Reflector[];
	/** Follows the pods of other nodes while somebody needs them. */
	#otherPods: Reflector | undefined;
	readonly #pods: PodLayers;
	readonly #policies: PolicyGate;
	/** Reflectors whose first list is still to come. */
	readonly #awaited: Set<string>;
	readonly #faults = new Map<string, ObjectFault>();
	/** Why something is not followed at the moment. */
	readonly #errors = new Map<string, string>();
	#memoryError = '';
	readonly #closing = new AbortController();
	#servers: ServerList | undefined;
	#remembered = '';
	#state: Promise<ServerState> | undefined;
	#forgetTimer: NodeJS.Timeout | undefined;
	#holdTimer: NodeJS.Timeout | undefined;
	#reporting = false;
	#connected: boolean | undefined;
	#synced: () => void = () => undefined;

	constructor(options: KubernetesSourceOptions) {
		this.#options = options;
		const { kubeconfig, rememberedFile, load = loadClusterAccess, limits } = options;
		this.#client = new ApiClient({
			access: { kubeconfig },
			load,
			servers: (configured) => this.#listServers(configured, readServers(rememberedFile)),
			...(limits && { limits }),
		});
		this.#pods = new PodLayers(options.store, options.nodeName);
		this.#policies = new PolicyGate(options.store, () => this.#followPods());
		const resources = watchedResources(options.nodeName, options.serviceProxyName);
		this.#awaited = new Set(resources.map(({ kind }) => kind));
		this.#reflectors = resources.map((resource) =>
			this.#createReflector(resource.kind, resource, this.#sinkOf(resource.kind)),
		);
	}

	/**
	 * Lists everything and begins to watch; resolves when the store is synced or the source is closed. While no API server
	 * can be reached it goes on trying.
	 * @throws API_CONFIG when there is nothing to try
	 */
	async start(): Promise<void> {
		this.#servers = await this.#client.open();
		const { promise, resolve } = Promise.withResolvers<void>();
		this.#synced = resolve;
		this.#options.store.onChange(({ services }) => {
			if (!this.#closing.signal.aborted && services.has(API_SERVICE)) this.#remember();
		});
		for (const reflector of this.#reflectors) void reflector.run();
		this.#followPods();
		return promise;
	}

	/** Ends watching; what was delivered stays in the store. */
	close(): void {
		this.#closing.abort();
		clearTimeout(this.#forgetTimer);
		clearTimeout(this.#holdTimer);
		for (const reflector of this.#reflectors) reflector.close();
		this.#otherPods?.close();
		this.#client.close();
		this.#synced();
	}

	/** For requests about single objects: same servers, same credentials. */
	get api(): ApiClient {
		return this.#client;
	}

	/** See askPod() of pod-asker.ts. */
	askPod(...[pod, signal]: [Parameters<typeof askPod>[1], AbortSignal]): ReturnType<typeof askPod> {
		const { nodeName } = this.#options;
		return askPod({ api: this.#client, own: this.#pods.own, nodeName }, pod, signal);
	}

	/** Address that is asked now; '' = none yet. */
	get server(): string {
		return this.#servers?.current?.url ?? '';
	}

	/**
	 * With configured addresses these, else the one of the kubeconfig. The virtual address that a pod's environment has comes
	 * last: it leads nowhere before this node serves it.
	 */
	#listServers(configured: string, told: readonly string[]): ServerList {
		const { servers, kubeconfig } = this.#options;
		this.#remembered = JSON.stringify(told);
		if (servers.length > 0) return new ServerList(servers, told);
		const own = configured === '' ? [] : [configured];
		return kubeconfig === '' && told.length > 0 ? new ServerList([], [...told, ...own]) : new ServerList(own, told);
	}

	#sinkOf(kind: Kind): ObjectSink {
		if (kind === 'Pod') return this.#pods.own;
		return POLICY_KINDS.includes(kind) ? this.#policies : this.#options.store;
	}

	#createReflector(name: string, resource: WatchedResource, store: ObjectSink): Reflector {
		const { random, sleep } = this.#options;
		return new Reflector({
			resource,
			store,
			api: this.#client,
			serverState: () => this.#serverState(),
			onListed: () => this.#onListed(name),
			onState: (error) => this.#onState(name, error),
			onObject: (key, issues, keptLastGood) => {
				const identity = identityOf(resource.kind, key);
				if (issues.length > 0) this.#faults.set(identity, { from: name, issues, keptLastGood });
				else if (!this.#faults.delete(identity)) return;
				this.#report();
			},
			...(random && { random }),
			...(sleep && { sleep }),
		});
	}

	#onListed(name: string): void {
		this.#awaited.delete(name);
		// listeners of the store hear of the pods first
		if (name === OTHER_PODS) setImmediate(() => this.#passPolicies());
		if (this.#awaited.size > 0) return;
		this.#options.store.markSynced();
		this.#synced();
		if (this.#connected === undefined) this.#report();
	}

	/** Follows the pods of other nodes, or stops it a while after nobody needs them any more. */
	#followPods(): void {
		clearTimeout(this.#forgetTimer);
		const { allPods = false, forgetPodsMs = FORGET_PODS_MS } = this.#options;
		if (allPods || this.#policies.selectsPods) this.#startOtherPods();
		else if (this.#otherPods !== undefined) {
			this.#forgetTimer = setTimeout(() => this.#stopOtherPods(), forgetPodsMs).unref();
		}
	}

	#startOtherPods(): void {
		if (this.#otherPods !== undefined || this.#closing.signal.aborted) return;
		const { store, nodeName, holdPoliciesMs = HOLD_POLICIES_MS } = this.#options;
		this.#otherPods = this.#createReflector(OTHER_PODS, podsOfOthers(nodeName), this.#pods.others);
		this.#awaited.add(OTHER_PODS);
		// before the first sync nothing is enforced anyway
		if (store.synced) {
			this.#policies.close();
			this.#holdTimer = setTimeout(() => this.#passPolicies(), holdPoliciesMs).unref();
		}
		void this.#otherPods.run();
	}

	#stopOtherPods(): void {
		this.#otherPods?.close();
		this.#otherPods = undefined;
		this.#awaited.delete(OTHER_PODS);
		this.#pods.forgetOthers();
		this.#passPolicies();
		for (const [identity, { from }] of this.#faults) if (from === OTHER_PODS) this.#faults.delete(identity);
		this.#onState(OTHER_PODS, undefined);
		this.#report();
	}

	#passPolicies(): void {
		clearTimeout(this.#holdTimer);
		this.#policies.open();
	}

	/** One request for all reflectors that want to know at the same time. */
	#serverState(): Promise<ServerState> {
		this.#state ??= this.#askState().finally(() => {
			this.#state = undefined;
		});
		return this.#state;
	}

	async #askState(): Promise<ServerState> {
		const { signal } = this.#closing;
		const list = (await this.#client.get('/api/v1/namespaces', KUBE_SYSTEM, signal)) as {
			metadata?: { resourceVersion?: string };
			items?: { metadata?: { uid?: string } }[];
		};
		return { version: list.metadata?.resourceVersion ?? '', identity: list.items?.[0]?.metadata?.uid ?? 'none' };
	}

	#remember(): void {
		const { store, rememberedFile } = this.#options;
		const servers = serversOf(store.slicesOf(API_SERVICE));
		const text = JSON.stringify(servers);
		// none is no news: the cluster could not have told it
		if (servers.length === 0 || text === this.#remembered) return;
		this.#servers?.tell(servers);
		try {
			writeServers(rememberedFile, servers);
			this.#remembered = text;
			this.#memoryError = '';
		} catch (thrown) {
			this.#memoryError = `cannot remember the API servers: ${errorMessage(thrown)}`;
		}
		this.#report();
	}

	#onState(name: string, error: string | undefined): void {
		if (this.#errors.get(name) === error) return;
		if (error === undefined) this.#errors.delete(name);
		else this.#errors.set(name, error);
		this.#report();
	}

	/** Tells of all problems once per turn of the event loop. */
	#report(): void {
		if (this.#reporting || this.#closing.signal.aborted) return;
		this.#reporting = true;
		setImmediate(() => {
			this.#reporting = false;
			if (!this.#closing.signal.aborted) this.#tell();
		});
	}

	#tell(): void {
		const { onProblems, onConnection, store, rememberedFile } = this.#options;
		const origin = this.server;
		const problems: SourceProblem[] = [];
		for (const [name, message] of this.#errors) {
			problems.push({ origin, object: `objects of kind ${name}`, path: '', message, keptLastGood: store.synced });
		}
		if (this.#memoryError !== '') {
			const object = 'EndpointSlices of default/kubernetes';
			problems.push({ origin: rememberedFile, object, path: '', message: this.#memoryError, keptLastGood: false });
		}
		for (const [object, { issues, keptLastGood }] of this.#faults) {
			for (const { path, message } of issues) problems.push({ origin, object, path, message, keptLastGood });
		}
		onProblems?.(problems);
		const connected = this.#errors.size === 0;
		if (connected === this.#connected) return;
		this.#connected = connected;
		onConnection?.(connected, origin, [...this.#errors.values()][0] ?? '');
	}
}
