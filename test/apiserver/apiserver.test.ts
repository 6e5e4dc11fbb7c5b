import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ask, OpenWatch, type Where } from './client.ts';
import { type ServerOptions, TestApiServer } from './server.ts';

const SERVICES = '/api/v1/namespaces/default/services';
const ALL = '/api/v1/services';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
	for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(options: ServerOptions = {}): Promise<{ server: TestApiServer; at: Where }> {
	const server = new TestApiServer(options);
	cleanups.push(() => server.close());
	return { server, at: { host: '127.0.0.1', port: await server.listen('127.0.0.1') } };
}

function watch(at: Where, path: string): OpenWatch {
	const opened = new OpenWatch(at, path);
	cleanups.push(() => opened.close());
	return opened;
}

const service = (name: string, over: Record<string, unknown> = {}) => ({
	apiVersion: 'v1',
	kind: 'Service',
	metadata: { name },
	spec: { clusterIP: '10.96.0.1', type: 'ClusterIP', ports: [{ port: 80 }] },
	...over,
});

async function createServices(at: Where, count: number): Promise<void> {
	for (let i = 0; i < count; i++) expect((await ask(at, 'POST', SERVICES, service(`s${i}`))).code).toBe(201);
}

const names = (body: { items: { metadata: { name: string } }[] }) => body.items.map((item) => item.metadata.name);

describe('writes', () => {
	it('give every write of any kind the next revision, and every object the one of its last write', async () => {
		const { at } = await start();
		const first = await ask(at, 'POST', SERVICES, service('a'));
		const second = await ask(at, 'POST', '/api/v1/namespaces/default/configmaps', { metadata: { name: 'c' } });
		const versions = [first, second].map(({ body }) => Number(body.metadata.resourceVersion));
		expect(versions[1]).toBe(versions[0]! + 1);
		expect(first.body).toMatchObject({ kind: 'Service', apiVersion: 'v1', metadata: { generation: 1 } });
		expect(first.body.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
		const list = await ask(at, 'GET', ALL);
		expect(list.body).toMatchObject({ kind: 'ServiceList', metadata: { resourceVersion: String(versions[1]) } });
		expect(list.body.items[0].metadata.resourceVersion).toBe(String(versions[0]));
		expect(list.body.items[0].kind).toBeUndefined();
	});

	it('refuse an update that is based on an old version, and take no revision when nothing changes', async () => {
		const { at, server } = await start();
		const { body: made } = await ask(at, 'POST', SERVICES, service('a'));
		const { body: changed } = await ask(at, 'PUT', `${SERVICES}/a`, {
			...made,
			spec: { ...made.spec, type: 'NodePort' },
		});
		expect(changed.metadata.generation).toBe(2);
		expect(await ask(at, 'PUT', `${SERVICES}/a`, made)).toMatchObject({ code: 409, body: { reason: 'Conflict' } });
		const before = server.storage.revision;
		expect((await ask(at, 'PUT', `${SERVICES}/a`, changed)).code).toBe(200);
		expect(server.storage.revision).toBe(before);
	});

	it('answer conflicts, missing objects and missing namespaces with a Status of the right reason', async () => {
		const { at } = await start();
		await createServices(at, 1);
		expect(await ask(at, 'POST', SERVICES, service('s0'))).toMatchObject({
			code: 409,
			body: { kind: 'Status', reason: 'AlreadyExists', code: 409 },
		});
		expect(await ask(at, 'GET', `${SERVICES}/x`)).toMatchObject({ code: 404, body: { reason: 'NotFound' } });
		expect((await ask(at, 'POST', '/api/v1/namespaces/none/services', service('a'))).code).toBe(404);
		expect((await ask(at, 'POST', SERVICES, { ...service('a'), kind: 'Pod' })).code).toBe(400);
		expect((await ask(at, 'GET', '/api/v1/gadgets')).code).toBe(404);
	});

	it('keep status and the rest apart', async () => {
		const { at } = await start();
		const status = { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } };
		const { body: made } = await ask(at, 'POST', SERVICES, service('a', { status }));
		expect(made.status).toBeUndefined();
		const { body: told } = await ask(at, 'PUT', `${SERVICES}/a/status`, { ...made, spec: { type: 'X' }, status });
		expect(told).toMatchObject({ spec: { type: 'ClusterIP' }, status, metadata: { generation: 1 } });
		const { body: after } = await ask(at, 'PUT', `${SERVICES}/a`, { ...told, status: {}, spec: { type: 'NodePort' } });
		expect(after).toMatchObject({ spec: { type: 'NodePort' }, status });
	});

	it('patch by merge, strategic merge, JSON patch and apply', async () => {
		const { at } = await start();
		await ask(
			at,
			'POST',
			SERVICES,
			service('a', {
				spec: {
					ports: [
						{ port: 80, name: 'x' },
						{ port: 81, name: 'y' },
					],
				},
			}),
		);
		const patch = (type: string, body: unknown, name = 'a') =>
			ask(at, 'PATCH', `${SERVICES}/${name}`, body, `application/${type}`);
		const merged = await patch('merge-patch+json', { spec: { type: 'NodePort', ports: [{ port: 90 }] } });
		expect(merged.body.spec).toEqual({ type: 'NodePort', ports: [{ port: 90 }] });
		const strategic = await patch('strategic-merge-patch+json', {
			spec: { type: null, ports: [{ port: 90, name: 'z' }, { port: 91 }] },
		});
		expect(strategic.body.spec).toEqual({ ports: [{ port: 90, name: 'z' }, { port: 91 }] });
		const json = await patch('json-patch+json', [
			{ op: 'test', path: '/spec/ports/0/port', value: 90 },
			{ op: 'remove', path: '/spec/ports/0' },
			{ op: 'add', path: '/metadata/labels', value: { 'a/b': '1' } },
			{ op: 'replace', path: '/metadata/labels/a~1b', value: '2' },
		]);
		expect(json.body).toMatchObject({ spec: { ports: [{ port: 91 }] }, metadata: { labels: { 'a/b': '2' } } });
		expect((await patch('json-patch+json', [{ op: 'test', path: '/spec/ports', value: [] }])).code).toBe(422);
		const applied = await patch('apply-patch+yaml', 'apiVersion: v1\nkind: Service\nmetadata: {name: new}\n', 'new');
		expect(applied).toMatchObject({ code: 201, body: { metadata: { name: 'new', namespace: 'default' } } });
		expect((await patch('text', {})).code).toBe(415);
	});

	it('delete with preconditions', async () => {
		const { at } = await start();
		await createServices(at, 1);
		const wrong = { preconditions: { uid: 'other' } };
		expect((await ask(at, 'DELETE', `${SERVICES}/s0`, wrong)).code).toBe(409);
		expect((await ask(at, 'DELETE', `${SERVICES}/s0`)).body).toMatchObject({ kind: 'Status', status: 'Success' });
		expect((await ask(at, 'DELETE', `${SERVICES}/s0`)).code).toBe(404);
	});
});

describe('lists', () => {
	it('continue in the state of their first chunk', async () => {
		const { at } = await start();
		await createServices(at, 5);
		const first = await ask(at, 'GET', `${ALL}?limit=2`);
		expect(first.body.metadata.remainingItemCount).toBe(3);
		await ask(at, 'DELETE', `${SERVICES}/s4`);
		await ask(at, 'POST', SERVICES, service('s22'));
		const seen = names(first.body);
		let token = first.body.metadata.continue as string;
		while (token) {
			const next = await ask(at, 'GET', `${ALL}?limit=2&continue=${token}`);
			expect(next.body.metadata.resourceVersion).toBe(first.body.metadata.resourceVersion);
			seen.push(...names(next.body));
			token = next.body.metadata.continue;
		}
		expect(seen).toEqual(['s0', 's1', 's2', 's3', 's4']);
		expect(names((await ask(at, 'GET', ALL)).body)).toEqual(['s0', 's1', 's2', 's22', 's3']);
	});

	it('answer 410 to a token whose state is gone, with a token for the inconsistent rest', async () => {
		const { at, server } = await start();
		await createServices(at, 3);
		const { body } = await ask(at, 'GET', `${ALL}?limit=1`);
		server.storage.compact();
		await ask(at, 'POST', SERVICES, service('s9'));
		const gone = await ask(at, 'GET', `${ALL}?limit=1&continue=${body.metadata.continue}`);
		expect(gone).toMatchObject({ code: 410, body: { reason: 'Expired' } });
		const rest = await ask(at, 'GET', `${ALL}?continue=${gone.body.metadata.continue}`);
		expect(names(rest.body)).toEqual(['s1', 's2', 's9']);
		expect((await ask(at, 'GET', `${ALL}?continue=nonsense`)).code).toBe(400);
	});

	it('select by labels and fields, in one namespace or in all', async () => {
		const { at } = await start();
		const pods = '/api/v1/namespaces/default/pods';
		const labels: Record<string, string>[] = [{ app: 'a', tier: 'x' }, { app: 'b' }, {}];
		for (const [i, each] of labels.entries()) {
			await ask(at, 'POST', pods, { metadata: { name: `p${i}`, labels: each }, spec: { nodeName: `n${i}` } });
		}
		await ask(at, 'POST', '/api/v1/namespaces/kube-system/pods', { metadata: { name: 'k' } });
		const select = async (query: string) => names((await ask(at, 'GET', `/api/v1/pods?${query}`)).body).join(' ');
		const label = (text: string) => select(`labelSelector=${encodeURIComponent(text)}`);
		expect(await label('app=a')).toBe('p0');
		expect(await label('app!=a')).toBe('p1 p2 k');
		expect(await label('app in (a, b),tier')).toBe('p0');
		expect(await label('app notin (a)')).toBe('p1 p2 k');
		expect(await label('!app')).toBe('p2 k');
		expect(await select('fieldSelector=spec.nodeName%3Dn1')).toBe('p1');
		expect(await select('fieldSelector=metadata.name%3Dk,metadata.namespace%3Dkube-system')).toBe('k');
		expect(await select('fieldSelector=spec.nodeName!%3Dn1')).toBe('p0 p2 k');
		expect(names((await ask(at, 'GET', pods)).body)).toEqual(['p0', 'p1', 'p2']);
		expect((await ask(at, 'GET', '/api/v1/pods?fieldSelector=spec.colour%3Dred')).code).toBe(400);
		expect((await ask(at, 'GET', '/api/v1/pods?labelSelector=a%20b')).code).toBe(400);
	});

	it('treat versions as the API promises', async () => {
		const { at, server } = await start();
		await createServices(at, 1);
		const now = server.storage.revision;
		const code = async (query: string) => (await ask(at, 'GET', `${ALL}?${query}`)).code;
		expect(await code('resourceVersion=0')).toBe(200);
		expect(await code(`resourceVersion=${now}&resourceVersionMatch=NotOlderThan`)).toBe(200);
		expect(await code(`resourceVersion=${now}&resourceVersionMatch=Exact`)).toBe(200);
		expect(await code(`resourceVersion=${now - 1}&resourceVersionMatch=Exact`)).toBe(410);
		expect(await code('resourceVersionMatch=Exact')).toBe(400);
		expect(await code('resourceVersion=abc')).toBe(400);
		const ahead = await ask(at, 'GET', `${ALL}?resourceVersion=${now + 9}`);
		expect(ahead).toMatchObject({ code: 504, headers: { 'retry-after': '1' } });
	});
});

describe('watches', () => {
	it('send what follows a version, of one kind only', async () => {
		const { at } = await start();
		await createServices(at, 1);
		const { body } = await ask(at, 'GET', ALL);
		const open = watch(at, `${ALL}?watch=true&resourceVersion=${body.metadata.resourceVersion}`);
		await open.opened();
		await ask(at, 'POST', '/api/v1/namespaces/default/configmaps', { metadata: { name: 'c' } });
		await ask(at, 'POST', SERVICES, service('b'));
		await ask(at, 'PATCH', `${SERVICES}/b`, { spec: { type: 'NodePort' } }, 'application/merge-patch+json');
		await ask(at, 'DELETE', `${SERVICES}/b`);
		const events = await open.until(3);
		expect(events.map(({ type }) => type)).toEqual(['ADDED', 'MODIFIED', 'DELETED']);
		expect(events[0]!.object).toMatchObject({ kind: 'Service', apiVersion: 'v1', metadata: { name: 'b' } });
		const versions = events.map(({ object }) => Number(object.metadata.resourceVersion));
		expect(versions).toEqual([...versions].sort((a, b) => a - b));
		expect(new Set(versions).size).toBe(3);
		// what happened between list and watch is not lost
		const late = watch(at, `${ALL}?watch=true&resourceVersion=${versions[0]}`);
		expect((await late.until(2)).map(({ type }) => type)).toEqual(['MODIFIED', 'DELETED']);
	});

	it('begin with what exists without a version', async () => {
		const { at } = await start();
		await createServices(at, 2);
		const open = watch(at, `${ALL}?watch=1`);
		expect((await open.until(2)).map(({ type }) => type)).toEqual(['ADDED', 'ADDED']);
		const streamed = watch(
			at,
			`${ALL}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`,
		);
		const [bookmark] = await streamed.until(1, 'BOOKMARK');
		expect(bookmark!.object.metadata.annotations).toEqual({ 'k8s.io/initial-events-end': 'true' });
		expect(streamed.events).toHaveLength(3);
		expect((await ask(at, 'GET', `${ALL}?watch=1&sendInitialEvents=true`)).code).toBe(422);
	});

	it('show an object that enters or leaves the selection as added or deleted', async () => {
		const { at } = await start();
		const open = watch(at, `${ALL}?watch=1&labelSelector=on`);
		await open.opened();
		await createServices(at, 1);
		const label = (labels: unknown) =>
			ask(at, 'PATCH', `${SERVICES}/s0`, { metadata: { labels } }, 'application/merge-patch+json');
		await label({ on: '1' });
		const { body } = await label({ on: null });
		const events = await open.until(2);
		expect(events.map(({ type }) => type)).toEqual(['ADDED', 'DELETED']);
		expect(events[1]!.object.metadata).toMatchObject({
			labels: { on: '1' },
			resourceVersion: body.metadata.resourceVersion,
		});
	});

	it('tell of their progress by bookmarks, though nothing of their kind happens', async () => {
		const { at, server } = await start({ bookmarkMs: 20 });
		const version = server.storage.revision;
		const open = watch(at, `${ALL}?watch=1&resourceVersion=${version}&allowWatchBookmarks=true`);
		await open.opened();
		await ask(at, 'POST', '/api/v1/namespaces/default/configmaps', { metadata: { name: 'c' } });
		const marks = await open.until(2, 'BOOKMARK');
		expect(marks.at(-1)!.object).toMatchObject({
			kind: 'Service',
			apiVersion: 'v1',
			metadata: { resourceVersion: String(version + 1) },
		});
	});

	it('end after timeoutSeconds', async () => {
		const { at } = await start();
		expect(await watch(at, `${ALL}?watch=1&timeoutSeconds=0.05`).ended).toBe('end');
	});

	it('refuse versions that fell out of the window with code 410, as an event or as the answer', async () => {
		for (const goneAs of ['event', 'status'] as const) {
			const { at, server } = await start({ window: 3, goneAs });
			const old = server.storage.revision;
			await createServices(at, 3);
			const resumed = watch(at, `${ALL}?watch=1&resourceVersion=${old}`);
			expect(await resumed.until(3)).toHaveLength(3);
			await ask(at, 'POST', SERVICES, service('more'));
			const late = watch(at, `${ALL}?watch=1&resourceVersion=${old}`);
			await late.ended;
			if (goneAs === 'status') expect(late.code).toBe(410);
			else {
				expect(late.code).toBe(200);
				expect(late.events).toMatchObject([
					{ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } },
				]);
			}
		}
	});
});

describe('life of the server', () => {
	const directory = () => {
		const made = mkdtempSync(join(tmpdir(), 'fl-api-'));
		cleanups.push(() => rmSync(made, { recursive: true }));
		return made;
	};

	it('has the same objects and versions after a restart, but not the events of before', async () => {
		const journal = join(directory(), 'journal');
		const one = await start({ journal });
		await createServices(one.at, 3);
		await ask(one.at, 'DELETE', `${SERVICES}/s1`);
		const before = (await ask(one.at, 'GET', ALL)).body;
		await one.server.close();
		const two = await start({ journal });
		expect((await ask(two.at, 'GET', ALL)).body).toEqual(before);
		const version = Number(before.metadata.resourceVersion);
		const open = watch(two.at, `${ALL}?watch=1&resourceVersion=${version}`);
		await open.opened();
		await ask(two.at, 'POST', SERVICES, service('new'));
		expect((await open.until(1))[0]!.object.metadata.resourceVersion).toBe(String(version + 1));
		const old = watch(two.at, `${ALL}?watch=1&resourceVersion=${version - 1}`);
		await old.ended;
		expect(old.events[0]).toMatchObject({ type: 'ERROR', object: { code: 410 } });
	});

	it('lets only known tokens in, until they expire', async () => {
		const { at, server } = await start({ authenticate: true });
		server.allowToken('good');
		server.allowToken('short', 0);
		expect((await ask({ ...at, token: 'good' }, 'GET', ALL)).code).toBe(200);
		await new Promise((resolve) => setTimeout(resolve, 2));
		for (const token of ['short', 'other', undefined]) {
			const { code, body } = await ask({ ...at, ...(token && { token }) }, 'GET', ALL);
			expect({ code, reason: body.reason }).toEqual({ code: 401, reason: 'Unauthorized' });
		}
		server.revokeToken('good');
		expect((await ask({ ...at, token: 'good' }, 'GET', ALL)).code).toBe(401);
	});

	it('serves several addresses and a unix socket at once', async () => {
		const { server, at } = await start();
		const socketPath = join(directory(), 'api.sock');
		await server.listenUnix(socketPath);
		const second = { host: '::1', port: await server.listen('::1') };
		await createServices(at, 1);
		for (const where of [at, second, { socketPath }]) {
			expect(names((await ask(where, 'GET', ALL)).body)).toEqual(['s0']);
		}
	});

	it('tells what it serves', async () => {
		const { at } = await start();
		const get = async (path: string) => (await ask(at, 'GET', path)).body;
		expect(await get('/version')).toMatchObject({ major: '1' });
		expect((await get('/apis')).groups.map((group: { name: string }) => group.name)).toContain(
			'policy.networking.k8s.io',
		);
		expect((await get('/api/v1')).resources).toContainEqual(
			expect.objectContaining({ name: 'services', kind: 'Service', namespaced: true }),
		);
		const { resources } = await get('/apis/discovery.k8s.io/v1');
		expect(resources).toMatchObject([{ name: 'endpointslices', namespaced: true }]);
		expect(await get('/readyz')).toBe('ok');
	});
});

describe('faults', () => {
	it('hit the next matching requests only', async () => {
		const { at, server } = await start();
		server.faults.add({
			verb: 'list',
			resource: 'services',
			times: 2,
			action: { type: 'status', code: 429, retryAfterSeconds: 7 },
		});
		expect((await ask(at, 'GET', '/api/v1/pods')).code).toBe(200);
		const hit = await ask(at, 'GET', ALL);
		expect(hit).toMatchObject({ code: 429, headers: { 'retry-after': '7' }, body: { reason: 'TooManyRequests' } });
		expect((await ask(at, 'GET', ALL)).code).toBe(429);
		expect((await ask(at, 'GET', ALL)).code).toBe(200);
	});

	it('drop, delay, trickle and cut answers', async () => {
		const { at, server } = await start();
		await createServices(at, 3);
		server.faults.add({ action: { type: 'drop' } });
		await expect(ask(at, 'GET', ALL)).rejects.toThrow();
		server.faults.add({ action: { type: 'cut', afterBytes: 100 } });
		await expect(ask(at, 'GET', ALL)).rejects.toThrow();
		server.faults.add({ action: { type: 'delay', ms: 30 } });
		const started = performance.now();
		expect((await ask(at, 'GET', ALL)).code).toBe(200);
		expect(performance.now() - started).toBeGreaterThan(25);
		server.faults.add({ action: { type: 'trickle', bytes: 100, everyMs: 1 } });
		expect(names((await ask(at, 'GET', ALL)).body)).toHaveLength(3);
	});

	it('never answer a request that hangs', async () => {
		const { at, server } = await start();
		server.faults.add({ action: { type: 'hang' } });
		const answer = ask(at, 'GET', ALL).then(
			() => 'answered',
			() => 'closed',
		);
		const waited = new Promise((resolve) => setTimeout(resolve, 50, 'waiting'));
		expect(await Promise.race([answer, waited])).toBe('waiting');
		await server.close();
		expect(await answer).toBe('closed');
	});

	it('cut watches, also within a line, and double or withhold their events', async () => {
		const { at, server } = await start({ bookmarkMs: 20 });
		const open = watch(at, `${ALL}?watch=1`);
		await open.opened();
		server.faults.watches = { duplicate: true };
		await createServices(at, 1);
		const [one, two] = await open.until(2);
		expect(one).toEqual(two);
		expect(server.watchCounts()).toEqual({ services: 1 });
		expect(server.cutWatches({ midLine: true })).toBe(1);
		expect(await open.ended).toBe('cut');
		expect(open.rest).toContain('MODIFIED');
		server.faults.watches = { silent: true };
		const silent = watch(at, `${ALL}?watch=1&allowWatchBookmarks=true`);
		await silent.opened();
		await new Promise((resolve) => setTimeout(resolve, 60));
		expect(silent.events).toEqual([]);
	});

	it('let one kind overtake another', async () => {
		const { at, server } = await start();
		server.faults.watches = { delayMs: { services: 50 } };
		const [services, maps] = [watch(at, `${ALL}?watch=1`), watch(at, '/api/v1/configmaps?watch=1')];
		await Promise.all([services.opened(), maps.opened()]);
		await createServices(at, 1);
		await ask(at, 'POST', '/api/v1/namespaces/default/configmaps', { metadata: { name: 'c' } });
		await maps.until(1);
		expect(services.events).toEqual([]);
		expect(await services.until(1)).toHaveLength(1);
	});
});
