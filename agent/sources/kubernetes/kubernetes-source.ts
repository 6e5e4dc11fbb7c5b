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
import { Reflector, type ServerState } from './reflector.ts';
import { LIVING_PODS, ownPods, watchedResources } from './resources.ts';
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
	/** Whether anything that is in the store now selects pods of other nodes by label; asked whenever policies changed. */
	readonly selectsPods: () => boolean;
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
}

interface ObjectFault {
	readonly kind: Kind;
	readonly issues: readonly FieldIssue[];
	readonly keptLastGood: boolean;
}

const POLICY_KINDS: readonly Kind[] = ['NetworkPolicy', 'ClusterNetworkPolicy'];
const FORGET_PODS_MS = 60_000;
const KUBE_SYSTEM = { fieldSelector: 'metadata.name=kube-system', limit: 1 };

export class KubernetesSource {
	readonly #options: KubernetesSourceOptions;
	readonly #client: ApiClient;
	readonly #reflectors: ReadonlyMap<Kind, Reflector>;
	/** Kinds whose first list, or whose list after a change of selection, is still to come. */
	readonly #awaited: Set<Kind>;
	readonly #faults = new Map<string, ObjectFault>();
	/** Why a kind is not followed at the moment. */
	readonly #errors = new Map<Kind, string>();
	#memoryError = '';
	readonly #closing = new AbortController();
	#servers: ServerList | undefined;
	#remembered = '';
	#state: Promise<ServerState> | undefined;
	#allPods = false;
	#forgetTimer: NodeJS.Timeout | undefined;
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
		const resources = watchedResources(options.nodeName, options.serviceProxyName);
		this.#awaited = new Set(resources.map(({ kind }) => kind));
		this.#reflectors = new Map(resources.map((resource) => [resource.kind, this.#createReflector(resource)]));
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
		this.#options.store.onChange(({ services, networkPolicies, clusterNetworkPolicies }) => {
			if (this.#closing.signal.aborted) return;
			if (services.has(API_SERVICE)) this.#remember();
			if (networkPolicies.size > 0 || clusterNetworkPolicies.size > 0) this.#followPolicies();
		});
		for (const reflector of this.#reflectors.values()) void reflector.run();
		return promise;
	}

	/** Ends watching; what was delivered stays in the store. */
	close(): void {
		this.#closing.abort();
		clearTimeout(this.#forgetTimer);
		for (const reflector of this.#reflectors.values()) reflector.close();
		this.#client.close();
		this.#synced();
	}

	/** Address that is asked now; '' = none yet. */
	get server(): string {
		return this.#servers?.current?.url ?? '';
	}

	/** Labels and addresses of the pods of all nodes, or of the own one only. */
	needAllPods(on: boolean): void {
		if (on === this.#allPods) return;
		this.#allPods = on;
		if (on) this.#awaited.add('Pod');
		this.#reflectors.get('Pod')?.select(on ? LIVING_PODS : ownPods(this.#options.nodeName));
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

	#createReflector(resource: ReturnType<typeof watchedResources>[number]): Reflector {
		const { store, random, sleep } = this.#options;
		const { kind } = resource;
		return new Reflector({
			resource,
			store,
			api: this.#client,
			serverState: () => this.#serverState(),
			onListed: () => this.#onListed(kind),
			onState: (error) => this.#onState(kind, error),
			onObject: (key, issues, keptLastGood) => {
				const identity = identityOf(kind, key);
				if (issues.length > 0) this.#faults.set(identity, { kind, issues, keptLastGood });
				else if (!this.#faults.delete(identity)) return;
				this.#report();
			},
			...(random && { random }),
			...(sleep && { sleep }),
		});
	}

	#onListed(kind: Kind): void {
		this.#awaited.delete(kind);
		if (POLICY_KINDS.includes(kind)) this.#followPolicies();
		if (this.#awaited.size > 0) return;
		this.#options.store.markSynced();
		this.#synced();
		if (this.#connected === undefined) this.#report();
	}

	#followPolicies(): void {
		clearTimeout(this.#forgetTimer);
		this.#forgetTimer = undefined;
		if (this.#options.selectsPods()) this.needAllPods(true);
		else if (this.#allPods)
			this.#forgetTimer = setTimeout(
				() => this.needAllPods(false),
				this.#options.forgetPodsMs ?? FORGET_PODS_MS,
			).unref();
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

	#onState(kind: Kind, error: string | undefined): void {
		if (this.#errors.get(kind) === error) return;
		if (error === undefined) this.#errors.delete(kind);
		else this.#errors.set(kind, error);
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
		for (const [kind, message] of this.#errors) {
			problems.push({ origin, object: `objects of kind ${kind}`, path: '', message, keptLastGood: store.synced });
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
