import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findKind } from '../../../test/apiserver/kinds.ts';
import { putObject } from '../../../test/apiserver/operations.ts';
import { type ServerOptions, TestApiServer } from '../../../test/apiserver/server.ts';
import { makeTls, type TlsFiles } from '../../../test/apiserver/tls.ts';
import { ClusterStore } from '../store.ts';
import type { AccessLoader } from './access.ts';
import { loadAccess } from './cluster-access.ts';
import { KubernetesSource, type KubernetesSourceOptions } from './kubernetes-source.ts';
import { watchedResources } from './resources.ts';

/** How many kinds are followed. */
const KINDS = watchedResources('').length;

let tls: TlsFiles;
let directory = '';
const cleanups: (() => unknown)[] = [];

beforeAll(() => {
	directory = mkdtempSync(join(tmpdir(), 'fl-source-'));
	tls = makeTls(directory, ['127.0.0.1', 'kubernetes.default.svc']);
});
afterAll(() => rmSync(directory, { recursive: true }));
beforeEach(() => {
	writeFileSync(join(directory, 'token'), 'first\n');
	rmSync(join(directory, 'remembered'), { force: true });
});
afterEach(async () => {
	for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function serve(
	options: ServerOptions = {},
	port = 0,
): Promise<{ server: TestApiServer; port: number; url: string }> {
	const server = new TestApiServer({ bookmarkMs: 50, authenticate: true, ...options });
	server.allowToken('first');
	cleanups.push(() => server.close());
	const bound = await server.listen('127.0.0.1', port, tls);
	return { server, port: bound, url: `https://127.0.0.1:${bound}` };
}

function put(
	server: TestApiServer,
	apiVersion: string,
	kind: string,
	name: string,
	more: object,
	metadata: object = {},
): void {
	const info = findKind(apiVersion, kind);
	if (info === undefined) throw new Error(kind);
	putObject(server.storage, info, { kind, apiVersion, metadata: { name, ...metadata }, ...more });
}

const service = (server: TestApiServer, name: string, port: unknown = 80, labels = {}) =>
	put(server, 'v1', 'Service', name, { spec: { clusterIP: '10.96.0.1', ports: [{ port }] } }, { labels });

const pod = (server: TestApiServer, name: string, nodeName: string, phase = 'Running') =>
	put(server, 'v1', 'Pod', name, { spec: { nodeName }, status: { phase } });

const policy = (server: TestApiServer, name: string, from: object[]) =>
	put(server, 'networking.k8s.io/v1', 'NetworkPolicy', name, { spec: { podSelector: {}, ingress: [{ from }] } });

function remove(server: TestApiServer, apiVersion: string, kind: string, key: string): void {
	const info = findKind(apiVersion, kind);
	if (info !== undefined) server.storage.delete(info, key);
}

/** The library, but with a token file that is read at every load. */
const load: AccessLoader = async (options) => loadAccess(options);

function kubeconfig(url: string): string {
	const path = join(directory, 'kubeconfig');
	const cluster = { server: url, 'certificate-authority': join(directory, 'ca.crt') };
	writeFileSync(
		path,
		JSON.stringify({
			apiVersion: 'v1',
			kind: 'Config',
			'current-context': 'c',
			contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
			clusters: [{ name: 'k', cluster }],
			users: [{ name: 'u', user: { tokenFile: 'token' } }],
		}),
	);
	return path;
}

function create(url: string, over: Partial<KubernetesSourceOptions> = {}) {
	const store = new ClusterStore();
	const seen = { problems: '', connections: [] as boolean[] };
	const source = new KubernetesSource({
		store,
		nodeName: 'n1',
		kubeconfig: kubeconfig(url),
		servers: [],
		rememberedFile: join(directory, 'remembered'),
		onProblems: (list) => {
			seen.problems = list
				.map(({ object, path, message, keptLastGood }) => `${object} ${path} ${message} ${keptLastGood}`)
				.join('\n');
		},
		onConnection: (connected) => seen.connections.push(connected),
		load,
		limits: { connectMs: 2000, answerMs: 1000, watchIdleMs: 500 },
		random: () => 0,
		sleep: (ms, signal) => sleep(ms / 20, undefined, { signal }),
		forgetPodsMs: 1,
		...over,
	});
	cleanups.push(() => source.close());
	return { source, store, seen, services: () => [...store.services.keys()].sort().join(' ') };
}

async function until(what: string, condition: () => boolean): Promise<void> {
	const end = Date.now() + 10_000;
	while (!condition()) {
		if (Date.now() > end) throw new Error(`not reached in 10 s: ${what}`);
		await sleep(5);
	}
}

describe('KubernetesSource', () => {
	it('is synced when every kind has been listed, and not before', async () => {
		const { server, url } = await serve();
		service(server, 'a');
		server.faults.add({ verb: 'list', resource: 'endpointslices', times: 2, action: { type: 'status', code: 503 } });
		const { source, store, services } = create(url);
		let notified = 0;
		store.onChange(() => notified++);
		const started = source.start();
		await until('services are there', () => services() === 'default/a');
		expect(store.synced).toBe(false);
		expect(notified).toBe(0);
		await started;
		expect(store.synced).toBe(true);
		await until('listeners hear of it', () => notified === 1);
		expect([...store.namespaces.keys()]).toEqual(['default', 'kube-system']);
	});

	it('follows changes, leaves to others what is labelled so, and knows the pods of its own node only', async () => {
		const { server, url } = await serve();
		service(server, 'other-proxy', 80, { 'service.kubernetes.io/service-proxy-name': 'x' });
		pod(server, 'mine', 'n1');
		pod(server, 'theirs', 'n2');
		const { source, store, services } = create(url);
		await source.start();
		expect(services()).toBe('');
		expect([...store.pods.keys()]).toEqual(['default/mine']);
		service(server, 'a');
		service(server, 'other-proxy');
		await until('both are there', () => services() === 'default/a default/other-proxy');
		service(server, 'other-proxy', 80, { 'service.kubernetes.io/headless': '' });
		remove(server, 'v1', 'Service', 'default/a');
		await until('both are gone', () => services() === '');
	});

	it('knows all living pods from the first sync on while a policy selects pods, and only then', async () => {
		const { server, url } = await serve();
		pod(server, 'mine', 'n1');
		pod(server, 'theirs', 'n2');
		pod(server, 'waiting', '');
		pod(server, 'done', 'n2', 'Succeeded');
		policy(server, 'by-pod', [{ podSelector: {} }]);
		policy(server, 'by-block', [{ ipBlock: { cidr: '192.0.2.0/24' } }]);
		const { source, store } = create(url);
		await source.start();
		expect([...store.pods.keys()].sort()).toEqual(['default/mine', 'default/theirs']);
		remove(server, 'networking.k8s.io/v1', 'NetworkPolicy', 'default/by-pod');
		await until('others are forgotten', () => [...store.pods.keys()].join() === 'default/mine');
		expect([...store.networkPolicies.keys()]).toEqual(['default/by-block']);
		await until('one watch is left', () => server.watchCounts().pods === 1);
	});

	it('lets a policy in only together with the pods it selects, and goes on following its own pods meanwhile', async () => {
		const { server, url } = await serve();
		pod(server, 'theirs', 'n2');
		const { source, store } = create(url);
		await source.start();
		await until('all watch', () => Object.keys(server.watchCounts()).length === KINDS);
		const changes: string[] = [];
		store.onChange((change) => {
			changes.push([...change.pods, ...change.networkPolicies].join());
		});
		server.faults.add({ verb: 'list', resource: 'pods', times: 1, action: { type: 'delay', ms: 200 } });
		policy(server, 'by-pod', [{ podSelector: {} }]);
		pod(server, 'mine', 'n1');
		await until('both are there', () => store.networkPolicies.size === 1);
		await until('it is told', () => changes.includes('default/by-pod'));
		expect(changes).toEqual(['default/mine', 'default/theirs', 'default/by-pod']);
	});

	it('lets a policy in after a while even if its pods cannot be listed', async () => {
		const { server, url } = await serve();
		const { source, store, seen } = create(url, { holdPoliciesMs: 100 });
		await source.start();
		server.faults.add({ verb: 'list', resource: 'pods', times: 0, action: { type: 'status', code: 503 } });
		policy(server, 'by-pod', [{ podSelector: {} }]);
		await until('it is in force', () => store.networkPolicies.size === 1);
		expect(seen.problems).toContain('objects of kind Pod of other nodes');
		remove(server, 'networking.k8s.io/v1', 'NetworkPolicy', 'default/by-pod');
		await until('pods are not asked for any more', () => seen.problems === '');
	});

	it('reports a bad object by kind, name and field, and keeps what it was', async () => {
		const { server, url } = await serve();
		service(server, 'a');
		const { source, store, seen } = create(url);
		await source.start();
		service(server, 'a', 'http');
		await until('the fault is reported', () => seen.problems.includes('Service default/a spec.ports[0].port'));
		expect(seen.problems).toMatch(/expected a number, got "http" true$/);
		expect(store.services.get('default/a')?.ports[0]?.port).toBe(80);
		service(server, 'a', 81);
		await until('all is well', () => seen.problems === '' && store.services.get('default/a')?.ports[0]?.port === 81);
	});

	it('keeps everything while the server is away, tells of it, and resumes without a list where it was', async () => {
		const journal = join(directory, `journal-${Date.now()}`);
		const first = await serve({ journal });
		service(first.server, 'a');
		const { source, store, seen, services } = create(first.url);
		await source.start();
		await until('all watch', () => Object.keys(first.server.watchCounts()).length === KINDS);
		// bookmarks carry all kinds to the last version
		await sleep(120);
		await first.server.close();
		await until('it is noticed', () => seen.connections.at(-1) === false);
		expect(services()).toBe('default/a');
		const second = await serve({ journal }, first.port);
		service(second.server, 'b');
		await until('changes follow', () => services() === 'default/a default/b');
		await until('all is well', () => seen.connections.at(-1) === true);
		const lists = second.server.seen.filter(({ verb, query }) => verb === 'list' && query.limit === '500');
		expect(lists).toEqual([]);
		expect(store.synced).toBe(true);
	});

	it('lists anew at a server that begins from nothing, and takes over what it has', async () => {
		const first = await serve();
		for (const name of ['a', 'b', 'c', 'd']) service(first.server, name);
		const { source, services } = create(first.url);
		await source.start();
		await first.server.close();
		const second = new TestApiServer({ bookmarkMs: 50 });
		cleanups.push(() => second.close());
		service(second, 'b', 8080);
		await second.listen('127.0.0.1', first.port, tls);
		await until('its objects are those of the new server', () => services() === 'default/b');
	});

	it('survives cuts within a line, doubled events and late kinds without a list', async () => {
		const { server, url } = await serve();
		const { source, services, store } = create(url);
		await source.start();
		await until('all watch', () => Object.keys(server.watchCounts()).length === KINDS);
		const before = server.seen.length;
		server.faults.watches = { duplicate: true, delayMs: { services: 20 } };
		for (let round = 0; round < 3; round++) {
			service(server, `s${round}`);
			server.cutWatches({ midLine: true });
			await until('it is there', () => services().includes(`s${round}`));
			await until('all watch', () => Object.keys(server.watchCounts()).length === KINDS);
		}
		expect(store.services.size).toBe(3);
		const lists = server.seen.slice(before).filter(({ verb, query }) => verb === 'list' && query.limit === '500');
		expect(lists).toEqual([]);
	});

	it('lists anew when its version has fallen out of the window', async () => {
		for (const goneAs of ['event', 'status'] as const) {
			const { server, url } = await serve({ window: 5, goneAs });
			service(server, 'a');
			service(server, 'b');
			const { source, services } = create(url);
			await source.start();
			await until('all watch', () => Object.keys(server.watchCounts()).length === KINDS);
			server.faults.add({ verb: 'watch', resource: 'services', times: 1, action: { type: 'status', code: 500 } });
			server.cutWatches({ resource: 'services' });
			remove(server, 'v1', 'Service', 'default/a');
			for (let i = 0; i < 10; i++) service(server, 'c', 80 + i);
			await until('it has what the server has', () => services() === 'default/b default/c');
		}
	});

	it('notices a watch on which nothing comes, not even bookmarks', async () => {
		const { server, url } = await serve();
		const { source, services } = create(url);
		await source.start();
		await until('all watch', () => Object.keys(server.watchCounts()).length === KINDS);
		server.faults.watches = { silent: true };
		service(server, 'unheard');
		await sleep(50);
		server.faults.watches = {};
		// the event was swallowed: only a new watch from the old version brings it
		await until('it is there', () => services() === 'default/unheard');
	});

	it('reads the token anew when it is refused', async () => {
		const { server, url } = await serve();
		const { source, services } = create(url);
		await source.start();
		server.revokeToken('first');
		server.allowToken('second');
		writeFileSync(join(directory, 'token'), 'second');
		server.cutWatches();
		service(server, 'a');
		await until('it is there', () => services() === 'default/a');
		expect(
			server.seen.filter(({ verb, token, code }) => verb === 'watch' && token === 'second' && code === 200),
		).not.toEqual([]);
	});

	it('goes over to another server when one fails or hangs, and remembers where the cluster says they are', async () => {
		const [one, two] = [await serve(), await serve()];
		for (const { server } of [one, two]) {
			const labels = { 'kubernetes.io/service-name': 'kubernetes' };
			const slice = {
				addressType: 'IPv4',
				ports: [{ name: 'https', port: two.port }],
				endpoints: [{ addresses: ['127.0.0.1'] }],
			};
			put(server, 'discovery.k8s.io/v1', 'EndpointSlice', 'kubernetes', slice, { labels });
		}
		service(two.server, 'of-two');
		one.server.faults.add({ times: 0, action: { type: 'hang' } });
		const { source, services } = create('https://127.0.0.1:1', { servers: ['https://127.0.0.1:1', one.url, two.url] });
		await source.start();
		expect(services()).toBe('default/of-two');
		expect(source.server).toBe(two.url);
		await until('they are remembered', () => {
			try {
				return readFileSync(join(directory, 'remembered'), 'utf8').includes(two.url);
			} catch {
				return false;
			}
		});
		const later = create('https://127.0.0.1:1');
		await later.source.start();
		expect(later.services()).toBe('default/of-two');
	});

	it('does not take a server for the API that the CA does not vouch for', async () => {
		const other = join(directory, 'other-ca');
		mkdirSync(other, { recursive: true });
		const impostor = new TestApiServer();
		cleanups.push(() => impostor.close());
		service(impostor, 'evil');
		const port = await impostor.listen('127.0.0.1', 0, makeTls(other, ['127.0.0.1']));
		const { source, store, seen } = create(`https://127.0.0.1:${port}`);
		const started = source.start();
		await until('it is refused', () => seen.problems.includes('certificate'));
		expect(store.services.size).toBe(0);
		source.close();
		await started;
		expect(store.synced).toBe(false);
	});

	it('takes a certificate for the Service of the API servers at an address that the cluster told, and only there', async () => {
		const server = new TestApiServer();
		cleanups.push(() => server.close());
		service(server, 'a');
		const port = await server.listen('127.0.0.1', 0, makeTls(directory, ['kubernetes.default.svc']));
		const url = `https://127.0.0.1:${port}`;
		const configured = create(url);
		void configured.source.start();
		await until('it is refused', () => configured.seen.problems.includes("does not match certificate's altnames"));
		writeFileSync(join(directory, 'remembered'), JSON.stringify({ servers: [url] }));
		const told = create('https://127.0.0.1:1');
		await told.source.start();
		expect(told.services()).toBe('default/a');
		await until('it says that it follows', () => told.seen.connections.at(-1) === true);
	});

	it('says what to set when it has nothing to ask', async () => {
		const failure = async (over: Partial<KubernetesSourceOptions>, url = 'https://127.0.0.1:1') => {
			const { source } = create(url, over);
			return source.start().then(
				() => 'started',
				({ code, message }) => `${code}: ${message}`,
			);
		};
		expect(await failure({ kubeconfig: '/nowhere/config' })).toMatch(/^API_CONFIG: cannot use kubeconfig .*ENOENT/);
		expect(await failure({ kubeconfig: '' })).toMatch(/^API_CONFIG: cannot use the service account: .*set kubeconfig/);
		const load: AccessLoader = async () => ({ server: '', credentials: async () => ({ headers: {}, tls: {} }) });
		expect(await failure({ load })).toMatch(/^API_CONFIG: cannot find an API server: .*set k8sApiServer/);
		expect(await failure({}, 'http://127.0.0.1:1')).toMatch(/^API_CONFIG: .*https/);
	});

	it('uses the service account of a pod', async () => {
		const { server, url } = await serve();
		service(server, 'a');
		const root = join(directory, 'pod');
		const account = join(root, 'var/run/secrets/kubernetes.io/serviceaccount');
		mkdirSync(account, { recursive: true });
		writeFileSync(join(account, 'token'), 'first');
		writeFileSync(join(account, 'ca.crt'), tls.ca);
		const { source, services } = create('', {
			kubeconfig: '',
			servers: [url],
			load: async () => loadAccess({ kubeconfig: '', root }),
		});
		await source.start();
		expect(services()).toBe('default/a');
	});
});
