import { afterEach, describe, expect, it } from 'vitest';
import { FairleadError } from '../../model/errors.ts';
import { ClusterStore } from '../store.ts';
import type { Query, WatchHandlers } from './api-client.ts';
import { type Api, Reflector, type ReflectorOptions, type ServerState } from './reflector.ts';
import { watchedResources } from './resources.ts';

interface Page {
	items?: unknown[];
	version?: string;
	continue?: string;
}

/** What the next request is to get: a page, a failure, or for a watch its events and end. */
type Script = { list: Page } | { fail: unknown } | { watch: { events?: unknown[]; open?: boolean; fail?: unknown } };

const refused = (status: number, more = {}) =>
	new FairleadError('API_REFUSED', `refused ${status}`, { status, ...more });
const broken = (otherServer = false) => new FairleadError('API_UNREACHABLE', 'connection broken', { otherServer });

const namespace = (name: string, version: string, labels: unknown = { v: version }) => ({
	kind: 'Namespace',
	metadata: { name, resourceVersion: version, labels },
});
const event = (type: string, object: unknown) => ({ type, object });
const bookmark = (version: string) => event('BOOKMARK', { kind: 'Namespace', metadata: { resourceVersion: version } });

/** An API that answers by a script and ends the reflector's work when the script is at its end. */
class ScriptedApi implements Api {
	readonly requests: Query[] = [];
	readonly #script: Script[];
	readonly done = Promise.withResolvers<void>();

	constructor(script: Script[]) {
		this.#script = script;
	}

	async list(_path: string, query: Query, onItem: (item: unknown) => void, signal: AbortSignal): Promise<unknown> {
		const { list } = (await this.#next(query, signal)) as { list: Page };
		if (list === undefined) throw new Error(`a list, but the script has something else: ${JSON.stringify(query)}`);
		for (const item of list.items ?? []) onItem(item);
		return { metadata: { resourceVersion: list.version, continue: list.continue } };
	}

	async watch(_path: string, query: Query, on: WatchHandlers, signal: AbortSignal): Promise<void> {
		const next = await this.#next(query, signal);
		if (!('watch' in next)) throw new Error(`a watch, but the script has something else: ${JSON.stringify(next)}`);
		on.open();
		for (const each of next.watch.events ?? []) on.line(each);
		if (next.watch.fail !== undefined) throw next.watch.fail;
		if (next.watch.open) await forever(signal);
	}

	async #next(query: Query, signal: AbortSignal): Promise<Script> {
		this.requests.push(query);
		const next = this.#script.shift();
		if (next === undefined) {
			this.done.resolve();
			return forever(signal);
		}
		if ('fail' in next) throw next.fail;
		if ('watch' in next && next.watch.open && this.#script.length === 0) setImmediate(() => this.done.resolve());
		return next;
	}
}

function forever(signal: AbortSignal): Promise<never> {
	return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
}

const running: Reflector[] = [];
afterEach(() => {
	for (const reflector of running.splice(0)) reflector.close();
});

function start(script: Script[], over: Partial<ReflectorOptions> & { optional?: boolean } = {}) {
	const api = new ScriptedApi(script);
	const store = new ClusterStore();
	const log = {
		pauses: [] as number[],
		listed: 0,
		states: [] as (string | undefined)[],
		faults: new Map<string, string>(),
	};
	const [resource] = watchedResources('n1').filter(({ kind }) => kind === 'Namespace');
	const reflector = new Reflector({
		resource: { ...resource!, optional: over.optional ?? false },
		api,
		store,
		serverState: async () => ({ identity: 'c1', version: '999' }),
		onListed: () => log.listed++,
		onState: (error) => log.states.push(error),
		onObject: (key, issues, kept) => {
			if (issues.length === 0) log.faults.delete(key);
			else log.faults.set(key, `${issues.map(({ path }) => path).join()} kept=${kept}`);
		},
		random: () => 0.5,
		now: () => 0,
		sleep: async (ms) => {
			log.pauses.push(ms);
		},
		...over,
	});
	running.push(reflector);
	void reflector.run();
	const names = () => [...store.namespaces.keys()].sort().join(' ');
	return { api, store, log, names, reflector };
}

describe('Reflector', () => {
	it('lists in chunks of 500, then watches from the version of the list with bookmarks', async () => {
		const { api, log, names } = start([
			{ list: { items: [namespace('a', '3')], version: '10', continue: 'T1' } },
			{ list: { items: [namespace('b', '4')], version: '10', continue: 'T2' } },
			{ list: { items: [namespace('c', '5')], version: '10' } },
			{ watch: { open: true } },
		]);
		await api.done.promise;
		expect(api.requests).toEqual([
			{ limit: 500 },
			{ limit: 500, continue: 'T1' },
			{ limit: 500, continue: 'T2' },
			{ watch: true, allowWatchBookmarks: true, resourceVersion: '10', timeoutSeconds: 450 },
		]);
		expect(names()).toBe('a b c');
		expect(log).toMatchObject({ listed: 1, states: [undefined], pauses: [] });
	});

	it('follows events and resumes at the last version, that of a bookmark too', async () => {
		const { api, store, names } = start([
			{ list: { items: [namespace('a', '3')], version: '10' } },
			{ watch: { events: [event('ADDED', namespace('b', '11')), event('MODIFIED', namespace('a', '12'))] } },
			{ watch: { events: [event('DELETED', namespace('b', '13')), bookmark('20')] } },
			{ watch: { open: true } },
		]);
		await api.done.promise;
		expect(api.requests.map(({ resourceVersion }) => resourceVersion)).toEqual([undefined, '10', '12', '20']);
		expect(names()).toBe('a');
		expect(store.namespaces.get('a')!.labels).toEqual({ v: '12' });
	});

	it('lists anew after 410, as an event or as an answer, and removes only what the complete list does not have', async () => {
		for (const gone of [
			{ watch: { events: [event('ERROR', { code: 410, message: 'too old' })] } },
			{ fail: refused(410) },
		]) {
			const { api, store, names, log } = start([
				{ list: { items: [namespace('a', '3'), namespace('b', '4'), namespace('c', '5')], version: '10' } },
				gone,
				{ list: { items: [namespace('a', '3')], version: '30', continue: 'T' } },
				{ fail: broken() },
				{ list: { items: [namespace('a', '3')], version: '31', continue: 'T' } },
				{ list: { items: [namespace('c', '31', { new: '1' })], version: '31' } },
				{ watch: { open: true } },
			]);
			await api.done.promise;
			expect(names()).toBe('a c');
			expect(store.namespaces.get('c')!.labels).toEqual({ new: '1' });
			expect(api.requests.at(-1)).toMatchObject({ resourceVersion: '31' });
			expect(log.listed).toBe(2);
		}
	});

	it('keeps everything while a list stays incomplete', async () => {
		const { api, names } = start([
			{ list: { items: [namespace('a', '3'), namespace('b', '4')], version: '10' } },
			{ fail: refused(410) },
			{ list: { items: [], version: '30', continue: 'T' } },
			{ fail: refused(500) },
		]);
		await api.done.promise;
		expect(names()).toBe('a b');
	});

	it('asks for the list in one piece after it has expired twice on the way', async () => {
		const { api, names } = start([
			{ list: { items: [], version: '1', continue: 'T1' } },
			{ fail: refused(410) },
			{ list: { items: [], version: '2', continue: 'T2' } },
			{ fail: refused(410) },
			{ list: { items: [namespace('a', '3')], version: '3' } },
			{ watch: { open: true } },
		]);
		await api.done.promise;
		expect(api.requests.map(({ limit }) => limit)).toEqual([500, 500, 500, 500, undefined, undefined]);
		expect(names()).toBe('a');
	});

	it('waits longer after each failure, at least as long as the server asks, and hardly for another server', async () => {
		const { api, log } = start([
			{ fail: broken() },
			{ fail: refused(503) },
			{ fail: refused(429, { retryAfterMs: 60_000 }) },
			{ fail: broken(true) },
			{ fail: broken() },
			{ list: { items: [], version: '1' } },
			{ watch: { events: [bookmark('2')], fail: broken() } },
			{ watch: { open: true } },
		]);
		await api.done.promise;
		expect(log.pauses).toEqual([500, 1000, 60_000, 75, 4000, 500]);
		expect(log.states.filter((state) => state !== undefined)).toHaveLength(6);
		expect(log.states.at(-1)).toBeUndefined();
	});

	it('does not ask in a loop when the server ends every watch at once', async () => {
		const { api, log } = start([
			{ list: { items: [], version: '1' } },
			{ watch: {} },
			{ watch: {} },
			{ watch: {} },
			{ watch: { open: true } },
		]);
		await api.done.promise;
		expect(log.pauses).toEqual([500, 1000, 2000]);
	});

	it('does nothing on a repeated event and takes the last of several versions', async () => {
		let writes = 0;
		const store = new ClusterStore();
		const { api } = start(
			[
				{ list: { items: [namespace('a', '3')], version: '10' } },
				{ watch: { events: [event('ADDED', namespace('a', '3')), event('MODIFIED', namespace('a', '11'))] } },
				{ watch: { events: [event('MODIFIED', namespace('a', '11'))], open: true } },
			],
			{
				store: {
					set: (kind, key, value) => {
						writes++;
						return store.set(kind, key, value);
					},
					delete: (kind, key) => store.delete(kind, key),
				},
			},
		);
		await api.done.promise;
		expect(writes).toBe(2);
		expect(store.namespaces.get('a')!.labels).toEqual({ v: '11' });
	});

	it('resumes after a lost connection if the server is the same', async () => {
		const { api, log } = start([
			{ list: { items: [namespace('a', '3')], version: '10' } },
			{ watch: { fail: broken() } },
			{ watch: { open: true } },
		]);
		await api.done.promise;
		expect(api.requests.at(-1)).toMatchObject({ watch: true, resourceVersion: '10' });
		expect(log.listed).toBe(1);
	});

	it.each([
		['was set back to an earlier state', { identity: 'c1', version: '7' }],
		['is that of another cluster', { identity: 'c2', version: '500' }],
	])('lists anew, taking no version for known, if the server %s', async (_what, state) => {
		const states: ServerState[] = [{ identity: 'c1', version: '10' }, state];
		const { api, store, names } = start(
			[
				{ list: { items: [namespace('a', '3'), namespace('b', '4')], version: '10' } },
				{ watch: { events: [bookmark('12')], fail: broken() } },
				{ list: { items: [namespace('a', '3', { other: '1' })], version: '7' } },
				{ watch: { open: true } },
			],
			{ serverState: async () => states.shift() ?? state },
		);
		await api.done.promise;
		expect(names()).toBe('a');
		expect(store.namespaces.get('a')!.labels).toEqual({ other: '1' });
	});

	it('reports a bad object by key and field, keeps its last good version, and goes on', async () => {
		const bad = (name: string, version: string) => namespace(name, version, 'no map');
		const { api, store, log } = start([
			{ list: { items: [namespace('a', '3'), bad('b', '4'), namespace('c', '5')], version: '10' } },
			{ watch: { events: [event('MODIFIED', bad('a', '11')), event('MODIFIED', bad('b', '12'))], fail: broken() } },
			{ watch: { events: [event('MODIFIED', namespace('c', '13'))], open: true } },
		]);
		await api.done.promise;
		expect(log.faults).toEqual(
			new Map([
				['b', 'metadata.labels kept=false'],
				['a', 'metadata.labels kept=true'],
			]),
		);
		expect(store.namespaces.get('a')!.labels).toEqual({ v: '3' });
		expect(store.namespaces.has('b')).toBe(false);
		expect(store.namespaces.get('c')!.labels).toEqual({ v: '13' });
	});

	it('forgets the fault of an object that is good again or gone', async () => {
		const { api, log } = start([
			{ list: { items: [namespace('a', '3', 1), namespace('b', '4', 1)], version: '10' } },
			{
				watch: {
					events: [event('MODIFIED', namespace('a', '11')), event('DELETED', namespace('b', '12'))],
					open: true,
				},
			},
		]);
		await api.done.promise;
		expect(log.faults.size).toBe(0);
	});

	it('takes a kind that the cluster does not have for empty only if it is optional', async () => {
		const optional = start([{ fail: refused(404) }, { fail: refused(404) }], { optional: true });
		await optional.api.done.promise;
		expect(optional.log).toMatchObject({ listed: 2, pauses: [60_000, 60_000] });
		const needed = start([{ fail: refused(404) }]);
		await needed.api.done.promise;
		expect(needed.log).toMatchObject({ listed: 0, states: ['refused 404'] });
	});

	it('delivers nothing any more once it is closed, of an answer that is under way neither', async () => {
		const { names, reflector } = start([
			{ list: { items: [namespace('a', '3')], version: '10', continue: 'T' } },
			{ list: { items: [namespace('b', '4')], version: '10' } },
		]);
		await Promise.resolve();
		await Promise.resolve();
		reflector.close();
		await new Promise((resolve) => setImmediate(resolve));
		expect(names()).not.toContain('b');
	});

	it('takes an event of no known type for a broken connection', async () => {
		const { api, log } = start([
			{ list: { items: [], version: '10' } },
			{ watch: { events: [{ type: 'NEWS' }] } },
			{ watch: { open: true } },
		]);
		await api.done.promise;
		expect(log.states).toEqual([undefined, 'a watch event of type "NEWS"', undefined]);
	});
});
