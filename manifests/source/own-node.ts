/**
 * Admission that lets an agent change no Node but its own: RBAC knows names only, and they are those of all nodes. The API server
 * says on which node the pod of a token runs (ServiceAccountTokenPodNodeInfo, on since 1.30).
 */
import type { V1ValidatingAdmissionPolicy, V1ValidatingAdmissionPolicyBinding } from '@kubernetes/client-node';
import { AGENT, clusterMeta, type Installation } from './names.ts';

const API = 'admissionregistration.k8s.io/v1';
const OWN_NODE = "request.userInfo.extra[?'authentication.kubernetes.io/node-name'][0].orValue('')";

export function ownNodePolicy(i: Installation): V1ValidatingAdmissionPolicy {
	return {
		apiVersion: API,
		kind: 'ValidatingAdmissionPolicy',
		metadata: clusterMeta(i),
		spec: {
			failurePolicy: 'Fail',
			matchConstraints: {
				resourceRules: [
					{ apiGroups: [''], apiVersions: ['v1'], operations: ['UPDATE'], resources: ['nodes', 'nodes/status'] },
				],
			},
			matchConditions: [
				{
					name: 'agent',
					expression: `request.userInfo.username == 'system:serviceaccount:${i.namespace}:${AGENT}'`,
				},
			],
			validations: [
				{ expression: `${OWN_NODE} == object.metadata.name`, message: 'an agent may change its own Node only' },
			],
		},
	};
}

export function ownNodePolicyBinding(i: Installation): V1ValidatingAdmissionPolicyBinding {
	return {
		apiVersion: API,
		kind: 'ValidatingAdmissionPolicyBinding',
		metadata: clusterMeta(i),
		spec: { policyName: AGENT, validationActions: ['Deny'] },
	};
}
