import { expect, it } from 'vitest';
import { ClusterStore } from '../sources/store.ts';
import { gatherChanges } from './missed-changes.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

it('gathers what changed over several notifications, until it is asked', async () => {
	const store = new ClusterStore();
	store.markSynced();
	const gathered = gatherChanges(store);
	const namespace = (name: string) => store.set('Namespace', name, { name, labels: {} });
	namespace('a');
	await turn();
	namespace('b');
	store.delete('Namespace', 'a');
	await turn();
	const change = gathered();
	expect([...change.namespaces].sort()).toEqual(['a', 'b']);
	namespace('c');
	await turn();
	expect(change.namespaces.has('c')).toBe(false);
	expect(change.services.size).toBe(0);
});
