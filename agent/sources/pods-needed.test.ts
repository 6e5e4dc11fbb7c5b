import { describe, expect, it } from 'vitest';
import { readObject } from './objects.ts';
import { needsOtherPods } from './pods-needed.ts';

function networkPolicy(spec: object): boolean {
	return asked({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'p' }, spec });
}

function clusterPolicy(rules: object): boolean {
	const spec = { tier: 'Admin', priority: 1, subject: { namespaces: {} }, ...rules };
	const apiVersion = 'policy.networking.k8s.io/v1alpha2';
	return asked({ apiVersion, kind: 'ClusterNetworkPolicy', metadata: { name: 'p' }, spec });
}

function asked(raw: unknown): boolean {
	const result = readObject(raw);
	if (result.outcome !== 'object') throw new Error(JSON.stringify(result));
	return needsOtherPods(result.object.kind, result.object.value);
}

const podSelector = {};
const ipBlock = { cidr: '10.0.0.0/8' };

describe('pods of other nodes are needed', () => {
	it.each([
		['by a peer of pods', { ingress: [{ from: [{ podSelector: {} }] }] }],
		['by a peer of namespaces, also beside a block', { egress: [{ to: [{ ipBlock }, { namespaceSelector: {} }] }] }],
		['by a named port of a destination', { egress: [{ to: [{ ipBlock }], ports: [{ port: 'http' }] }] }],
	])('%s of a NetworkPolicy', (_what, spec) => {
		expect(networkPolicy({ podSelector, ...spec })).toBe(true);
	});

	it.each([
		['isolates', {}],
		['allows blocks', { ingress: [{ from: [{ ipBlock }] }] }],
		['allows everybody a named port of its own pods', { ingress: [{ ports: [{ port: 'http' }] }] }],
	])('not by a NetworkPolicy that only %s', (_what, spec) => {
		expect(networkPolicy({ podSelector: { matchLabels: { app: 'a' } }, ...spec })).toBe(false);
	});

	it('by peers and named ports of a ClusterNetworkPolicy, not by its networks and nodes', () => {
		const to = [{ networks: ['10.0.0.0/8'] }, { nodes: {} }];
		expect(clusterPolicy({ ingress: [{ action: 'Deny', from: [{ namespaces: {} }] }] })).toBe(true);
		expect(clusterPolicy({ egress: [{ action: 'Accept', to, protocols: [{ destinationNamedPort: 'http' }] }] })).toBe(
			true,
		);
		expect(clusterPolicy({ egress: [{ action: 'Accept', to }] })).toBe(false);
	});

	it('by no object of another kind', () => {
		expect(asked({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'n' } })).toBe(false);
	});
});
