import { expect, it } from 'vitest';
import { requireParsed, setNetworkPolicy, usualWorld } from '../../../test/lib/policy-world.ts';
import type { ClusterChange } from '../../model/cluster-view.ts';
import { parseNetworkPolicy } from '../../model/network-policy.ts';
import { ClusterStore } from '../../sources/store.ts';
import { PolicyCompiler } from './compiler.ts';
import { inputOfChange, inputOfView } from './input.ts';

it('follows a store from its first delivery over a change to a deletion', async () => {
	const store = new ClusterStore();
	const world = usualWorld();
	for (const [key, value] of world.pods) store.set('Pod', key, value);
	for (const [key, value] of world.namespaces) store.set('Namespace', key, value);
	const changes: ClusterChange[] = [];
	store.onChange((change) => changes.push(change));
	store.markSynced();
	await new Promise(setImmediate);
	const compiler = new PolicyCompiler({ nodeName: 'node-1' });
	compiler.apply(inputOfView(store));
	expect(compiler.setOf('x/a')).toBeNull();
	setNetworkPolicy(world, 'x/p', { podSelector: {} });
	store.set(
		'NetworkPolicy',
		'x/p',
		requireParsed(parseNetworkPolicy({ metadata: { name: 'p', namespace: 'x' }, spec: {} })),
	);
	store.delete('Pod', 'x/c');
	await new Promise(setImmediate);
	const change = changes.at(-1)!;
	expect([...change.networkPolicies, ...change.pods]).toEqual(['x/p', 'x/c']);
	compiler.apply(inputOfChange(store, change));
	expect([...compiler.setOf('x/a')!.pods]).toEqual(['x/a', 'x/b']);
	expect(compiler.setOf('x/c')).toBeUndefined();
	store.delete('NetworkPolicy', 'x/p');
	await new Promise(setImmediate);
	compiler.apply(inputOfChange(store, changes.at(-1)!));
	expect(compiler.setOf('x/a')).toBeNull();
});
