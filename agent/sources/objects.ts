/**
 * Kubernetes objects of any form → model values, by kind. Shared by all sources.
 */

import { parseClusterNetworkPolicy } from '../model/cluster-network-policy.ts';
import type { Kind, ObjectsByKind } from '../model/cluster-view.ts';
import { parseEndpointSlice } from '../model/endpoint-slice.ts';
import { describeValue, type FieldIssue, type Parsed } from '../model/fields.ts';
import { parseNetworkPolicy } from '../model/network-policy.ts';
import { parseNamespace, parseNode } from '../model/node.ts';
import { parsePod } from '../model/pod.ts';
import { parseService } from '../model/service.ts';
import { parseServiceCidr } from '../model/service-cidr.ts';

/** A value with its kind and its key in the ClusterView. */
export type KubernetesObject = {
	readonly [K in Kind]: { readonly kind: K; readonly key: string; readonly value: ObjectsByKind[K] };
}[Kind];

export type ObjectResult =
	| { readonly outcome: 'object'; readonly object: KubernetesObject }
	/** Not a kind that is used here. */
	| { readonly outcome: 'ignored'; readonly name: string }
	| {
			readonly outcome: 'invalid';
			/** 'Service default/web'; without a usable name only what is known. */
			readonly name: string;
			/** Kind and key when both can be told in spite of the fault. */
			readonly identity: string | undefined;
			readonly issues: readonly FieldIssue[];
	  };

const API_VERSION: Readonly<Record<Kind, string>> = {
	Service: 'v1',
	EndpointSlice: 'discovery.k8s.io/v1',
	Pod: 'v1',
	Node: 'v1',
	Namespace: 'v1',
	NetworkPolicy: 'networking.k8s.io/v1',
	ClusterNetworkPolicy: 'policy.networking.k8s.io/v1alpha2',
	ServiceCIDR: 'networking.k8s.io/v1',
};

const CLUSTER_SCOPED: readonly Kind[] = ['Node', 'Namespace', 'ClusterNetworkPolicy', 'ServiceCIDR'];

/** Text by which an object is one and the same over its versions: 'Service default/web'. */
export function identityOf(kind: Kind, key: string): string {
	return `${kind} ${key}`;
}

/** Reads one object; never throws. Lists are the caller's to take apart; see itemsOfList. */
export function readObject(raw: unknown): ObjectResult {
	if (!isRecord(raw)) return nameless('document', '', `expected a Kubernetes object, got ${describeValue(raw)}`);
	const { kind, apiVersion, name, namespace } = header(raw);
	if (kind === '' || apiVersion === '') {
		const message = 'expected the text every Kubernetes object has, got nothing';
		return nameless(kind || 'object', kind === '' ? 'kind' : 'apiVersion', message);
	}
	if (!isKind(kind) || groupOf(apiVersion) !== groupOf(API_VERSION[kind])) {
		return { outcome: 'ignored', name: `${apiVersion} ${kind} ${name}` };
	}
	const key = CLUSTER_SCOPED.includes(kind) ? name : `${namespace}/${name}`;
	const parsed = apiVersion === API_VERSION[kind] ? parseKind(kind, raw) : otherVersion(kind, apiVersion);
	if (parsed.ok) return { outcome: 'object', object: { kind, key, value: parsed.value } as KubernetesObject };
	const identity = name === '' ? undefined : identityOf(kind, key);
	return { outcome: 'invalid', name: identity ?? kind, identity, issues: parsed.issues };
}

function nameless(name: string, path: string, message: string): ObjectResult {
	return { outcome: 'invalid', name, identity: undefined, issues: [{ path, message }] };
}

/** 'networking.k8s.io/v1' → 'networking.k8s.io'; '' for 'v1'. */
function groupOf(apiVersion: string): string {
	return apiVersion.slice(0, Math.max(0, apiVersion.lastIndexOf('/')));
}

/** Silence would leave people with a Service that has no endpoints. */
function otherVersion(kind: Kind, apiVersion: string): Parsed<never> {
	const message = `expected ${JSON.stringify(API_VERSION[kind])}, got ${JSON.stringify(apiVersion)}`;
	return { ok: false, issues: [{ path: 'apiVersion', message }] };
}

/** Reads an object that is known to be of this kind, as lists and watches of one kind deliver it. Never throws. */
export function readObjectAs<K extends Kind>(kind: K, raw: unknown): Parsed<ObjectsByKind[K]> {
	return parseKind(kind, raw) as Parsed<ObjectsByKind[K]>;
}

/** Members of a List (or ServiceList, ...), each with kind and apiVersion; undefined = not a list. */
export function itemsOfList(raw: unknown): readonly unknown[] | undefined {
	if (!isRecord(raw)) return undefined;
	const { kind, apiVersion } = header(raw);
	if (!kind.endsWith('List')) return undefined;
	const items: readonly unknown[] = Array.isArray(raw.items) ? raw.items : [];
	const itemKind = kind.slice(0, -'List'.length);
	if (itemKind === '') return items;
	return items.map((item) => (isRecord(item) ? { kind: itemKind, apiVersion, ...item } : item));
}

function parseKind(kind: Kind, raw: unknown): Parsed<ObjectsByKind[Kind]> {
	switch (kind) {
		case 'Service':
			return parseService(raw);
		case 'EndpointSlice':
			return parseEndpointSlice(raw);
		case 'Pod':
			return parsePod(raw);
		case 'Node':
			return parseNode(raw);
		case 'Namespace':
			return parseNamespace(raw);
		case 'NetworkPolicy':
			return parseNetworkPolicy(raw);
		case 'ClusterNetworkPolicy':
			return parseClusterNetworkPolicy(raw);
		case 'ServiceCIDR':
			return parseServiceCidr(raw);
	}
}

interface Header {
	readonly kind: string;
	readonly apiVersion: string;
	readonly name: string;
	readonly namespace: string;
}

function header(raw: unknown): Header {
	const object = isRecord(raw) ? raw : {};
	const metadata = isRecord(object.metadata) ? object.metadata : {};
	return {
		kind: text(object.kind),
		apiVersion: text(object.apiVersion),
		name: text(metadata.name),
		namespace: text(metadata.namespace) || 'default',
	};
}

function isKind(kind: string): kind is Kind {
	return Object.hasOwn(API_VERSION, kind);
}

function isRecord(value: unknown): value is Record<string, unknown> {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: unknown): string {
	return typeof value === 'string' ? value : '';
}
