import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../config/config.ts';
import type { Config } from '../config/schema.ts';
import { UNKNOWN_POD } from '../endpoints/endpoint-rows.ts';
import { ClusterStore } from '../sources/store.ts';
import { NodeLife } from './node-life.ts';

function configOf(over: Partial<Config>): Config {
	const loaded = loadConfig({ args: ['--node-name', 'n1'], environment: {} });
	if ('exit' in loaded) throw new Error(loaded.text);
	return { ...loaded.values, source: 'kubernetes', podWaitMs: 1, ...over };
}

/** The API server of this test: what it knows of pods, and the requests that were made. */
function start(over: Partial<Config> = {}, knows = false) {
	const requests: string[] = [];
	const log: string[] = [];
	const logger = pino(
		{ level: 'info' },
		{ write: (line: string) => log.push((JSON.parse(line) as { msg: string }).msg) },
	);
	const options = { config: configOf(over), store: new ClusterStore(), log: logger, patienceMs: 1, repeatMs: 5 };
	const life = new NodeLife({ ...options, sleep: () => sleep(1) });
	const api = {
		get: async () => ({}),
		write: async ({ method, path, body }: { method: string; path: string; body: unknown }) => {
			requests.push(`${method} ${path} ${(body as { reason?: string }).reason ?? ''}`);
			return {};
		},
	};
	const useSource = () =>
		life.useSource({
			start: async () => undefined,
			close: () => undefined,
			api,
			askPod: async () => (knows ? { uid: 'u1' } : undefined),
		});
	return { life, requests, log, useSource };
}

const POD = { namespace: 'shop', name: 'web', uid: 'u1' };
const identify = async () => ({ ...UNKNOWN_POD, identity: 7 });
const { signal } = new AbortController();

describe('NodeLife', () => {
	it('refuses a pod that nobody knows, so that the runtime tries again', async () => {
		const { life, useSource } = start();
		useSource();
		await expect(life.knowing(identify)(POD, signal, [])).rejects.toMatchObject({ code: 'POD_UNKNOWN' });
	});

	it('isolates it if so configured', async () => {
		const { life, useSource } = start({ unknownPods: 'isolate' });
		useSource();
		expect(await life.knowing(identify)(POD, signal, [])).toMatchObject({ identity: 7, isolated: true });
	});

	it('lets pods pass that are known, and containers that are no pods', async () => {
		const { life, useSource } = start({}, true);
		useSource();
		expect(await life.knowing(identify)(POD, signal, [])).toMatchObject({ identity: 7, isolated: false });
		expect(await life.knowing(identify)(null, signal, [])).toMatchObject({ isolated: false });
	});

	it('asks nobody with source files, and writes Events to the log', async () => {
		const { life, log } = start({ source: 'files' });
		expect(await life.knowing(identify)(POD, signal, [])).toMatchObject({ isolated: false });
		life.warn('MapPressure', 'map ct4: 70 %');
		await life.events.idle();
		expect([log, life.counts().events.delivered]).toEqual([['event'], 1]);
		await life.close();
	});

	it('tells of pod CIDRs that do not come, and of nothing else that is waited for', async () => {
		const { life, requests, useSource } = start();
		useSource();
		life.onWaiting('Node n1');
		await sleep(20);
		expect(requests).toEqual([]);
		life.onWaiting('spec.podCIDRs of Node n1');
		while (!requests.some((each) => each.startsWith('PATCH'))) await sleep(2);
		expect(requests[0]).toBe('POST /api/v1/namespaces/default/events NoPodCIDR');
		life.onWaiting('');
		await life.close();
	});

	it('says why no pods are taken until the self-test passes', async () => {
		const { life } = start();
		let closed = false;
		const failing = life.prove(
			async () => ({ failures: ['uplink_2_in: not attached'], skipped: '' }),
			() => closed,
		);
		while (life.problems().length === 0) await sleep(1);
		expect(life.problems()).toEqual(['self-test: uplink_2_in: not attached']);
		closed = true;
		expect(await failing).toBe(false);
		expect(
			await life.prove(
				async () => ({ failures: [], skipped: '' }),
				() => false,
			),
		).toBe(true);
		expect(life.problems()).toEqual([]);
	});
});
