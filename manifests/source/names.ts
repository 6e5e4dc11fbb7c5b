/** Names, labels and paths that more than one object uses. The objects of an installation have fixed names: a node has one dataplane. */
import type { V1ObjectMeta } from '@kubernetes/client-node';
import type { Values } from './values.ts';

/** Name of the agent's objects. */
export const AGENT = 'fairlead-agent';
export const DEFAULT_NAMESPACE = 'fairlead-system';
export const CONFIG_FILE = '/etc/fairlead/agent.yaml';
/** Where the container sees what of the node's own it may not see or write at its usual place. */
export const HOST = '/host';

/** What is rendered: values, and where they go. */
export interface Installation {
	readonly values: Values;
	readonly namespace: string;
	/** Of Fairlead: the tag of the image unless the values name another. */
	readonly version: string;
	/** Minor version of Kubernetes 1.x; decides how AppArmor is named. */
	readonly kubernetesMinor: number;
}

export const SELECTOR = {
	'app.kubernetes.io/name': 'fairlead',
	'app.kubernetes.io/component': 'agent',
} as const;

export function labels(version: string, component = 'agent'): Record<string, string> {
	return {
		'app.kubernetes.io/name': 'fairlead',
		'app.kubernetes.io/component': component,
		'app.kubernetes.io/part-of': 'fairlead',
		'app.kubernetes.io/version': version,
	};
}

export function clusterMeta(i: Installation, name = AGENT): V1ObjectMeta {
	return { name, labels: labels(i.version) };
}

export function namespacedMeta(i: Installation, name = AGENT): V1ObjectMeta {
	return { name, namespace: i.namespace, labels: labels(i.version) };
}

/** 'registry/fairlead:0.1.0' or 'registry/fairlead@sha256:…' */
export function imageOf({ values: { image }, version }: Installation): string {
	if (image.digest !== '') return `${image.repository}@${image.digest}`;
	return `${image.repository}:${image.tag === '' ? version : image.tag}`;
}
