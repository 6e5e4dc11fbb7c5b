import { describe, expect, it } from 'vitest';
import { parsePod } from '../model/pod.ts';
import { ClusterStore } from '../sources/store.ts';
import { type AskedPod, PodLookup } from './pod-lookup.ts';

const WEB = { namespace: 'shop', name: 'web', uid: 'u2' };

function start(ask: () => Promise<AskedPod | undefined> = async () => undefined, waitMs = 5) {
	const store = new ClusterStore();
	let asked = 0;
	const lookup = new PodLookup({
		pods: store.pods,
		ask: () => {
			asked++;
			return ask();
		},
		waitMs,
	});
	store.markSynced();
	store.onChange((change) => lookup.onChange(change));
	const put = (uid: string, annotations = {}) => {
		const parsed = parsePod({ metadata: { namespace: 'shop', name: 'web', uid, annotations } });
		if (parsed.ok) store.set('Pod', 'shop/web', parsed.value);
	};
	const find = (signal = new AbortController().signal) => lookup.find(WEB, signal);
	return { find, put, asked: () => asked };
}

describe('PodLookup', () => {
	it('asks nobody about a pod that the watch has brought', async () => {
		const { find, put, asked } = start();
		put('u2');
		expect([await find(), asked()]).toEqual([{ known: true }, 0]);
	});

	it('waits for the watch, then asks nobody', async () => {
		const { find, put, asked } = start(undefined, 10_000);
		const found = find();
		setTimeout(() => put('u2'), 2);
		expect([await found, asked()]).toEqual([{ known: true }, 0]);
	});

	it('asks once when the watch does not bring it', async () => {
		const { find, asked } = start(async () => ({ uid: 'u2' }));
		expect([await find(), asked()]).toEqual([{ known: true }, 1]);
	});

	it('does not take a pod that had the name before for it, and asks at once', async () => {
		const { find, put, asked } = start(async () => ({ uid: 'u2' }), 10_000);
		put('u1');
		expect([await find(), asked()]).toEqual([{ known: true }, 1]);
		const other = start(async () => ({ uid: 'u1' }), 10_000);
		other.put('u1');
		expect(await other.find()).toEqual({ known: false, why: expect.stringContaining('with uid u1') as string });
	});

	it('knows a pod from a file by its mirror', async () => {
		const { find, put, asked } = start();
		put('u1', { 'kubernetes.io/config.mirror': 'u2', 'kubernetes.io/config.source': 'file' });
		expect([await find(), asked()]).toEqual([{ known: true }, 0]);
	});

	it('says why a pod is not known', async () => {
		expect(await start().find()).toEqual({ known: false, why: 'the API server does not know it' });
		const away = start(() => Promise.reject(new Error('ECONNREFUSED')));
		expect(await away.find()).toEqual({ known: false, why: 'the API server cannot be asked: ECONNREFUSED' });
	});

	it('ends its wait with the request', async () => {
		const caller = new AbortController();
		const { find } = start(() => Promise.reject(new Error('aborted')), 60_000);
		setTimeout(() => caller.abort(), 2);
		expect(await find(caller.signal)).toMatchObject({ known: false });
	});
});
