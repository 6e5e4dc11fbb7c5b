import { describe, expect, it } from 'vitest';
import type { Pod } from '../../model/pod.ts';
import { ClusterStore } from '../store.ts';
import { PodLayers } from './pod-layers.ts';

const pod = (node: string): Pod => ({
	namespace: 'default',
	name: 'web-0',
	uid: '',
	labels: {},
	node,
	hostNetwork: false,
	addresses: [],
	finished: false,
});

const KEY = 'default/web-0';
type Event = 'own set' | 'own delete' | 'others set' | 'others delete';

function play(events: readonly Event[]): string {
	const store = new ClusterStore();
	const layers = new PodLayers(store, 'here');
	for (const event of events) {
		if (event === 'own set') layers.own.set('Pod', KEY, pod('here'));
		else if (event === 'own delete') layers.own.delete('Pod', KEY);
		else if (event === 'others set') layers.others.set('Pod', KEY, pod('there'));
		else layers.others.delete('Pod', KEY);
	}
	return store.pods.get(KEY)?.node ?? 'nowhere';
}

/** All orders in which two sequences can arrive. */
function interleavings<T>(a: readonly T[], b: readonly T[]): T[][] {
	const [first, ...restA] = a;
	const [second, ...restB] = b;
	if (first === undefined || second === undefined) return [[...a, ...b]];
	return [
		...interleavings(restA, b).map((rest) => [first, ...rest]),
		...interleavings(a, restB).map((rest) => [second, ...rest]),
	];
}

describe('PodLayers', () => {
	it.each<[string, Event[], Event[], string]>([
		['comes to the own node', ['others set', 'others delete'], ['own set'], 'here'],
		['changes, then comes', ['others set', 'others set', 'others delete'], ['own set', 'own set'], 'here'],
		['leaves the own node', ['others set'], ['own set', 'own delete'], 'there'],
		['leaves and ends', ['others set', 'others delete'], ['own set', 'own delete'], 'nowhere'],
	])('has a pod where it is when it %s, in whatever order the watches tell', (_what, others, own, expected) => {
		for (const events of interleavings(others, own)) expect([events, play(events)]).toEqual([events, expected]);
	});

	it('forgets the pods of others, those behind own ones too', () => {
		const store = new ClusterStore();
		const layers = new PodLayers(store, 'here');
		layers.others.set('Pod', KEY, pod('there'));
		layers.others.set('Pod', 'default/other', pod('there'));
		layers.own.set('Pod', KEY, pod('here'));
		layers.forgetOthers();
		expect([...store.pods.keys()]).toEqual([KEY]);
		layers.own.delete('Pod', KEY);
		expect(store.pods.size).toBe(0);
	});
});
