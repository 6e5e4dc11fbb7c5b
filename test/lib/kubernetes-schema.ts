/**
 * Whether objects are what the Kubernetes API takes: the schemas of its OpenAPI document (npm package kubernetes-models) for types
 * and required fields, the official client's models for fields that do not exist, which those schemas let pass.
 */
import type { KubernetesObject } from '@kubernetes/client-node';
import * as client from '@kubernetes/client-node';
import { PodMonitor, PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import {
	ValidatingAdmissionPolicy,
	ValidatingAdmissionPolicyBinding,
} from 'kubernetes-models/admissionregistration.k8s.io/v1';
import { DaemonSet } from 'kubernetes-models/apps/v1';
import { ClusterRole, ClusterRoleBinding } from 'kubernetes-models/rbac.authorization.k8s.io/v1';
import { ConfigMap, Namespace, ServiceAccount } from 'kubernetes-models/v1';

interface Model {
	validate(): void;
}

/** By kind. `type` is the client's; custom resources have none, and schemas that name every field. */
const KINDS: Readonly<Record<string, { readonly model: new (data: never) => Model; readonly type?: string }>> = {
	Namespace: { model: Namespace, type: 'V1Namespace' },
	ServiceAccount: { model: ServiceAccount, type: 'V1ServiceAccount' },
	ClusterRole: { model: ClusterRole, type: 'V1ClusterRole' },
	ClusterRoleBinding: { model: ClusterRoleBinding, type: 'V1ClusterRoleBinding' },
	ValidatingAdmissionPolicy: { model: ValidatingAdmissionPolicy, type: 'V1ValidatingAdmissionPolicy' },
	ValidatingAdmissionPolicyBinding: {
		model: ValidatingAdmissionPolicyBinding,
		type: 'V1ValidatingAdmissionPolicyBinding',
	},
	ConfigMap: { model: ConfigMap, type: 'V1ConfigMap' },
	DaemonSet: { model: DaemonSet, type: 'V1DaemonSet' },
	PodMonitor: { model: PodMonitor },
	PrometheusRule: { model: PrometheusRule },
};

/** What is wrong with the objects, one sentence each. */
export function schemaProblems(objects: readonly KubernetesObject[]): string[] {
	return objects.flatMap((object) => {
		const { kind = '', metadata } = object;
		const known = KINDS[kind];
		if (known === undefined) return [`${kind} ${metadata?.name}: no schema`];
		try {
			new known.model(structuredClone(object) as never).validate();
		} catch (error) {
			return [`${kind} ${metadata?.name}: ${error instanceof Error ? error.message : error}`];
		}
		return known.type === undefined ? [] : unknownFields(object, known.type, `${kind} ${metadata?.name}`);
	});
}

interface ClientModel {
	getAttributeTypeMap(): readonly { readonly baseName: string; readonly type: string }[];
}

const MODELS = client as unknown as Readonly<Record<string, ClientModel | undefined>>;

/** Fields that the client's type does not have. Types read 'V1Pod', 'Array<V1Pod>', '{ [key: string]: string; }' or 'any'. */
function unknownFields(value: unknown, type: string, path: string): string[] {
	if (typeof value !== 'object' || value === null) return [];
	const item = /^Array<(.+)>$/.exec(type)?.[1];
	if (item !== undefined)
		return (value as unknown[]).flatMap((each, at) => unknownFields(each, item, `${path}[${at}]`));
	const fields = MODELS[type]?.getAttributeTypeMap?.();
	if (fields === undefined) return [];
	return Object.entries(value).flatMap(([key, inner]) => {
		const field = fields.find(({ baseName }) => baseName === key);
		return field === undefined ? [`${path}.${key}: unknown field`] : unknownFields(inner, field.type, `${path}.${key}`);
	});
}
