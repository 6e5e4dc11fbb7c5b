/** `fairlead install` and `upgrade`: what is applied, in which order, and the waiting for it. */
import type { KubernetesObject, V1ConfigMap, V1DaemonSet } from '@kubernetes/client-node';
import { healthzPort } from '../../manifests/source/daemon-set.ts';
import { AGENT, type Installation } from '../../manifests/source/names.ts';
import { renderObjects } from '../../manifests/source/objects.ts';
import { resolveValues, type Values, type ValuesLayer } from '../../manifests/source/values.ts';
import { formatObjects } from '../../manifests/source/yaml.ts';
import { CliError, EXIT } from '../exit.ts';
import { ClusterApi, nameOf, type ObjectRef } from './cluster-api.ts';
import { type ClusterFacts, discover } from './discover.ts';
import { awaitRollout } from './rollout.ts';

/** On the ConfigMap: the values that were given, so that an upgrade goes on with them. */
export const VALUES_ANNOTATION = 'fairlead.dev/values';
const OLDEST_MINOR = 29;
/** Of its /healthz; ours by default. */
const KUBE_PROXY_PORT = 10256;

export interface InstallOptions {
	readonly namespace: string;
	/** In the order given: files, then assignments. */
	readonly layers: readonly ValuesLayer[];
	readonly kubeconfig: string;
	readonly context: string;
	/** Print, change nothing. */
	readonly dryRun: boolean;
	/** Ask no API server for what can be given instead; only with dryRun. */
	readonly kubernetesMinor?: number;
	readonly forceConflicts: boolean;
	/** 0 = do not wait. */
	readonly timeoutMs: number;
	/** Begin with the values of the installation that is there. */
	readonly upgrade: boolean;
	/** upgrade: with the defaults instead. */
	readonly resetValues: boolean;
}

export interface InstallerContext {
	readonly version: string;
	readonly out: (text: string) => Promise<void>;
	/** One line for people. */
	readonly say: (line: string) => void;
	readonly now: () => number;
	readonly sleep: (ms: number) => Promise<void>;
}

export function agentRef(kind: 'DaemonSet' | 'ConfigMap', namespace: string): ObjectRef {
	return { apiVersion: kind === 'DaemonSet' ? 'apps/v1' : 'v1', kind, metadata: { name: AGENT, namespace } };
}

export async function install(o: InstallOptions, context: InstallerContext): Promise<void> {
	const { say } = context;
	const offline = o.dryRun && o.kubernetesMinor !== undefined;
	const api = offline ? undefined : ClusterApi.open(o);
	const facts = api === undefined ? undefined : await discover(api);
	const kubernetesMinor = o.kubernetesMinor ?? facts?.kubernetesMinor ?? OLDEST_MINOR;
	if (kubernetesMinor < OLDEST_MINOR) {
		throw new CliError(
			EXIT.FAILURE,
			`cannot install on Kubernetes 1.${kubernetesMinor}: 1.${OLDEST_MINOR} or later is needed`,
		);
	}
	const earlier = api !== undefined && o.upgrade ? await earlierValues(api, o) : [];
	const layers = [...earlier, ...o.layers];
	const values = withApiServers(resolveValues(layers), facts);
	const i: Installation = { values, namespace: o.namespace, version: context.version, kubernetesMinor };
	const objects = renderObjects(i).map((object) => withGivenValues(object, layers));
	for (const note of notesOf(i, facts)) say(note);
	if (o.dryRun || api === undefined) {
		say(`would apply in this order: ${objects.map(nameOf).join(', ')}`);
		say(o.timeoutMs === 0 ? 'would not wait' : `would wait at most ${o.timeoutMs / 1000} s until all nodes are ready`);
		await context.out(formatObjects(objects));
		return;
	}
	for (const object of objects) {
		await api.apply(object, o.forceConflicts);
		say(`applied ${nameOf(object)}`);
	}
	if (o.timeoutMs > 0)
		await awaitRollout(agentRef('DaemonSet', o.namespace), { api, ...context, timeoutMs: o.timeoutMs });
}

/** @throws CliError when nothing is installed */
async function earlierValues(api: ClusterApi, o: InstallOptions): Promise<ValuesLayer[]> {
	const [daemonSet, configMap] = await Promise.all([
		api.read<V1DaemonSet>(agentRef('DaemonSet', o.namespace)),
		api.read<V1ConfigMap>(agentRef('ConfigMap', o.namespace)),
	]);
	if (daemonSet === undefined) {
		throw new CliError(EXIT.NOT_FOUND, `${nameOf(agentRef('DaemonSet', o.namespace))}: not found; use install`);
	}
	if (o.resetValues) return [];
	const text = configMap?.metadata?.annotations?.[VALUES_ANNOTATION];
	if (text === undefined) {
		throw new CliError(
			EXIT.USAGE,
			`${nameOf(agentRef('ConfigMap', o.namespace))} does not tell its values: it was not installed by this tool; upgrade it by the one that did, or give all values and --reset-values`,
		);
	}
	return [{ from: 'the present installation', value: JSON.parse(text) as unknown }];
}

/** The agents cannot ask a Service that they are to serve. What was given wins. */
function withApiServers(values: Values, facts: ClusterFacts | undefined): Values {
	if (values.config.k8sApiServer !== undefined || facts === undefined || facts.apiServers.length === 0) return values;
	return { ...values, config: { ...values.config, k8sApiServer: [...facts.apiServers] } };
}

/** Of the layers one, merged: a later upgrade begins with it. */
function withGivenValues(object: KubernetesObject, layers: readonly ValuesLayer[]): KubernetesObject {
	if (object.kind !== 'ConfigMap') return object;
	const given = layers.reduce<unknown>((merged, { value }) => mergeGiven(merged, value), {});
	const annotations = { ...object.metadata?.annotations, [VALUES_ANNOTATION]: JSON.stringify(given) };
	return { ...object, metadata: { ...object.metadata, annotations } };
}

/** As values are merged, but null stays: it takes a default away. */
function mergeGiven(base: unknown, over: unknown): unknown {
	if (!isMap(base) || !isMap(over)) return over ?? base;
	const merged = { ...base };
	for (const [key, value] of Object.entries(over)) merged[key] = value === null ? null : mergeGiven(merged[key], value);
	return merged;
}

function isMap(value: unknown): value is Record<string, unknown> {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function notesOf({ values }: Installation, facts: ClusterFacts | undefined): string[] {
	if (facts === undefined) return [];
	const { others, hasPodMonitors } = facts;
	const servers = values.config.k8sApiServer ?? [];
	const monitored = values.monitoring.podMonitor || values.monitoring.rules;
	return [
		servers.length > 0
			? `agents ask the API servers at ${servers.join(', ')}`
			: 'no addresses of API servers are known: agents ask the kubernetes Service, which somebody else must serve until they run',
		...others.map((name) => `${name} is there too: docs/install.md says what to do with it`),
		...(others.some((name) => name.endsWith('/kube-proxy')) && healthzPort(values) === KUBE_PROXY_PORT
			? [
					`kube-proxy listens on ${KUBE_PROXY_PORT} too and would answer probes: set config.healthzBindAddress=[::]:10356 while it is there`,
				]
			: []),
		...(monitored && !hasPodMonitors
			? ['the CRDs of the Prometheus operator are not there: its objects will be refused']
			: []),
	];
}
