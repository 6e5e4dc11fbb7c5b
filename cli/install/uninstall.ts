/**
 * `fairlead uninstall`: agents end, every node is cleaned by a pod of the same shape, then the objects go. With --keep-nodes the
 * dataplane stays on the nodes and goes on without agents, until `fairlead cleanup` or a reboot.
 */
import type { KubernetesObject, V1Container, V1DaemonSet, V1Namespace } from '@kubernetes/client-node';
import { APP_ARMOR_ANNOTATION } from '../../manifests/source/daemon-set.ts';
import { AGENT, SELECTOR } from '../../manifests/source/names.ts';
import { formatObject } from '../../manifests/source/yaml.ts';
import { CliError, EXIT } from '../exit.ts';
import { ClusterApi, nameOf, type ObjectRef } from './cluster-api.ts';
import { agentRef, type InstallerContext } from './install.ts';
import { awaitNoPods, awaitRollout } from './rollout.ts';

const CLEANUP = 'fairlead-cleanup';
const CLEANUP_SELECTOR = { 'app.kubernetes.io/name': 'fairlead', 'app.kubernetes.io/component': 'cleanup' } as const;

export interface UninstallOptions {
	readonly namespace: string;
	readonly kubeconfig: string;
	readonly context: string;
	readonly dryRun: boolean;
	/** The dataplane stays on the nodes. */
	readonly keepNodes: boolean;
	/** What nodes remember of pods and addresses stays. */
	readonly keepState: boolean;
	/** Of each wait. */
	readonly timeoutMs: number;
}

/** The pods that clean the nodes: image, nodes and mounts are those of the agents that are there. */
export function cleanupDaemonSet(agents: V1DaemonSet, keepState: boolean): V1DaemonSet {
	const { metadata, spec } = agents;
	const pod = spec?.template.spec;
	const agent = pod?.containers[0];
	if (pod === undefined || agent === undefined) throw new CliError(EXIT.FAILURE, `${nameOf(agents)} has no container`);
	const container = (name: string, args: readonly string[]): V1Container => ({
		name,
		...(agent.image !== undefined && { image: agent.image }),
		...(agent.imagePullPolicy !== undefined && { imagePullPolicy: agent.imagePullPolicy }),
		command: ['/opt/fairlead/bin/fairlead'],
		args: ['cleanup', ...args],
		...(agent.env && { env: agent.env }),
		...(agent.securityContext && { securityContext: agent.securityContext }),
		...(agent.volumeMounts && { volumeMounts: agent.volumeMounts }),
	});
	const { initContainers: _, containers: __, terminationGracePeriodSeconds: ___, ...rest } = pod;
	const labels = { ...metadata?.labels, ...CLEANUP_SELECTOR };
	const byAnnotation = spec?.template.metadata?.annotations?.[`${APP_ARMOR_ANNOTATION}${agent.name}`];
	return {
		apiVersion: 'apps/v1',
		kind: 'DaemonSet',
		metadata: { name: CLEANUP, ...(metadata?.namespace !== undefined && { namespace: metadata.namespace }), labels },
		spec: {
			selector: { matchLabels: { ...CLEANUP_SELECTOR } },
			template: {
				metadata: {
					labels,
					...(byAnnotation !== undefined && {
						annotations: Object.fromEntries(
							['cleanup', 'done'].map((name) => [`${APP_ARMOR_ANNOTATION}${name}`, byAnnotation]),
						),
					}),
				},
				spec: {
					...rest,
					terminationGracePeriodSeconds: 1,
					// A node counts as cleaned when this has ended well; until then it is tried again.
					initContainers: [container('cleanup', ['--yes', ...(keepState ? [] : ['--state'])])],
					containers: [container('done', ['--stay'])],
				},
			},
		},
	};
}

/** Objects of an installation besides DaemonSets, in the order in which they are deleted. */
function remainingRefs(namespace: string): ObjectRef[] {
	const here = { name: AGENT, namespace };
	return [
		{ apiVersion: 'monitoring.coreos.com/v1', kind: 'PrometheusRule', metadata: here },
		{ apiVersion: 'monitoring.coreos.com/v1', kind: 'PodMonitor', metadata: here },
		...['ValidatingAdmissionPolicyBinding', 'ValidatingAdmissionPolicy'].map((kind) => ({
			apiVersion: 'admissionregistration.k8s.io/v1',
			kind,
			metadata: { name: AGENT },
		})),
		{ apiVersion: 'v1', kind: 'ConfigMap', metadata: here },
		{ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRoleBinding', metadata: { name: AGENT } },
		{ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: AGENT } },
		{ apiVersion: 'v1', kind: 'ServiceAccount', metadata: here },
	];
}

export async function uninstall(o: UninstallOptions, context: InstallerContext): Promise<void> {
	const { say } = context;
	const api = ClusterApi.open(o);
	const { namespace } = o;
	const agents = await api.read<V1DaemonSet>(agentRef('DaemonSet', namespace));
	const cleanup: ObjectRef = { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: CLEANUP, namespace } };
	// an earlier run may have ended in between
	const interrupted = agents === undefined ? await api.read<V1DaemonSet>(cleanup) : undefined;
	const cleaning =
		o.keepNodes || (agents === undefined && interrupted === undefined)
			? undefined
			: (interrupted ?? cleanupDaemonSet(agents as V1DaemonSet, o.keepState));
	const remaining = await presentObjects(api, namespace);
	if (agents === undefined && cleaning === undefined && remaining.length === 0) {
		throw new CliError(EXIT.NOT_FOUND, `nothing of Fairlead is in namespace ${namespace}`);
	}
	if (o.dryRun) {
		await sayPlan(o, context, { agents, cleaning, interrupted, remaining });
		return;
	}
	const waiting = { api, ...context, timeoutMs: o.timeoutMs };
	if (agents !== undefined) {
		await api.remove(agentRef('DaemonSet', namespace));
		say(`deleted ${nameOf(agents)}; waiting for its pods to end`);
		await awaitNoPods(namespace, SELECTOR, waiting);
	}
	if (cleaning !== undefined) {
		if (interrupted === undefined) {
			await api.apply(cleaning, true);
			say(`applied ${nameOf(cleaning)}`);
		}
		await awaitRollout(cleanup, waiting);
		await api.remove(cleanup);
		say(`deleted ${nameOf(cleaning)}: all nodes are clean`);
		await awaitNoPods(namespace, CLEANUP_SELECTOR, waiting);
	}
	for (const ref of remaining) {
		if (await api.remove(ref)) say(`deleted ${nameOf(ref)}`);
	}
}

/** Those that are there; the namespace only if an installation has made it. */
async function presentObjects(api: ClusterApi, namespace: string): Promise<ObjectRef[]> {
	const found: ObjectRef[] = [];
	for (const ref of remainingRefs(namespace)) {
		if ((await api.read<KubernetesObject>(ref)) !== undefined) found.push(ref);
	}
	const ref: ObjectRef = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
	const made = await api.read<V1Namespace>(ref);
	if (made?.metadata?.labels?.['app.kubernetes.io/part-of'] === 'fairlead') found.push(ref);
	return found;
}

interface Found {
	readonly agents: V1DaemonSet | undefined;
	readonly cleaning: V1DaemonSet | undefined;
	readonly interrupted: V1DaemonSet | undefined;
	readonly remaining: readonly ObjectRef[];
}

async function sayPlan(
	o: UninstallOptions,
	{ say, out }: InstallerContext,
	{ agents, cleaning, interrupted, remaining }: Found,
): Promise<void> {
	const limit = `at most ${o.timeoutMs / 1000} s`;
	if (agents !== undefined) say(`would delete ${nameOf(agents)} and wait ${limit} for its pods to end`);
	if (cleaning !== undefined) {
		say(`${interrupted === undefined ? 'would apply' : 'would go on with'} ${nameOf(cleaning)}`);
		say(`would wait ${limit} until all nodes are clean, then delete it`);
	} else say('would leave the nodes as they are: traffic goes on without agents until `fairlead cleanup` or a reboot');
	for (const ref of remaining) say(`would delete ${nameOf(ref)}`);
	if (cleaning !== undefined && interrupted === undefined) await out(formatObject(cleaning));
}
