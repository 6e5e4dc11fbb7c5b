import { describe, expect, it } from 'vitest';
import { readObject } from '../../agent/sources/objects.ts';
import { generateCluster, generatedPod } from './generate.ts';
import { findKind } from './kinds.ts';
import { Storage } from './storage.ts';

const SIZE = { services: 5, endpoints: 4, nodes: 3, pods: 60, policies: 2 };

function generated() {
	const storage = new Storage();
	generateCluster(storage, SIZE);
	return (apiVersion: string, kind: string) => {
		const info = findKind(apiVersion, kind);
		if (info === undefined) throw new Error(kind);
		return storage
			.list(info, '', () => true, 0, '')
			.versions.map(({ object }) => {
				const result = readObject({ apiVersion, kind, ...object });
				if (result.outcome !== 'object') throw new Error(JSON.stringify(result));
				return result.object.value as unknown as Record<string, never>;
			});
	};
}

describe('a generated cluster', () => {
	it('has objects that the agent can read, in the numbers that were asked for', () => {
		const of = generated();
		const counts = [of('v1', 'Service'), of('discovery.k8s.io/v1', 'EndpointSlice'), of('v1', 'Node'), of('v1', 'Pod')];
		expect(counts.map(({ length }) => length)).toEqual([5, 5, 3, 60]);
		expect(of('networking.k8s.io/v1', 'NetworkPolicy')).toHaveLength(2);
	});

	it('has distinct pod addresses, those of a node in its pod CIDR, and the endpoints among them', () => {
		const of = generated();
		const pods = of('v1', 'Pod') as unknown as { addresses: string[]; node: string }[];
		const addresses = new Set(pods.flatMap((pod) => pod.addresses));
		expect(addresses.size).toBe(60);
		const slices = of('discovery.k8s.io/v1', 'EndpointSlice') as unknown as { endpoints: { address: string }[] }[];
		for (const { endpoints } of slices) for (const { address } of endpoints) expect(addresses).toContain(address);
		const nodes = of('v1', 'Node') as unknown as { name: string; podCidrs: string[] }[];
		for (const { node, addresses: own } of pods) {
			const [cidr = ''] = nodes.find(({ name }) => name === node)?.podCidrs ?? [];
			expect(own[0]?.split('.').slice(0, 3)).toEqual(cidr.split('.').slice(0, 3));
		}
	});

	it('has pods of some two thousand bytes', () => {
		expect(JSON.stringify(generatedPod(149_999, 5000)).length).toBeGreaterThan(1900);
	});
});
