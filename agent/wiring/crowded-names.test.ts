import { describe, expect, it } from 'vitest';
import { parseClusterNetworkPolicy } from '../model/cluster-network-policy.ts';
import type { ObjectRef } from '../model/event.ts';
import { CrowdedNames } from './crowded-names.ts';

function policy(name: string, domainNames: string[]) {
	const subject = { namespaces: {} };
	const egress = [{ action: 'Accept', to: [{ domainNames }] }];
	const parsed = parseClusterNetworkPolicy({
		metadata: { name },
		spec: { tier: 'Admin', priority: 1, subject, egress },
	});
	if (!parsed.ok) throw new Error(`policy ${name} cannot be read`);
	return [name, parsed.value] as const;
}

describe('an Event about a name with too many addresses', () => {
	it('goes to each policy that names it, once in a while', () => {
		const told: [ObjectRef, string, string][] = [];
		const names = new CrowdedNames({
			view: {
				clusterNetworkPolicies: new Map([
					policy('exact', ['a.cdn.test']),
					policy('wild', ['b.test', '*.cdn.test']),
					policy('other', ['cdn.test', '*.a.cdn.test']),
				]),
			},
			events: { event: (about, _type, reason, message) => told.push([about, reason, message]) },
			...{ nodeName: 'n1', addressesPerName: 4, addresses: 10 },
		});
		for (let i = 0; i < 3; i++) names.tell('a.cdn.test', 'name');
		expect(told.map(([{ kind, name, apiVersion }, reason]) => [kind, name, apiVersion, reason])).toEqual(
			['exact', 'wild'].map((name) => [
				'ClusterNetworkPolicy',
				name,
				'policy.networking.k8s.io/v1alpha2',
				'NameHasManyAddresses',
			]),
		);
		expect(told[0]?.[2]).toBe(
			'node n1: a.cdn.test has more than 4 addresses (dnsAddressesPerName); the oldest that no connection uses go for younger ones',
		);
		names.tell('b.test', 'all');
		expect(told.at(-1)?.[2]).toContain('names have more than 10 addresses');
		names.rest();
		names.tell('a.cdn.test', 'name');
		expect(told).toHaveLength(5);
	});
});
