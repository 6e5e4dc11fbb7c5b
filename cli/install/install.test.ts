import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubernetesObject, V1ConfigMap, V1DaemonSet } from '@kubernetes/client-node';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { daemonSet } from '../../manifests/source/daemon-set.ts';
import { baseInstallation } from '../../manifests/source/generate.ts';
import { KINDS } from '../../test/apiserver/kinds.ts';
import { put } from '../../test/apiserver/main.ts';
import { TestApiServer } from '../../test/apiserver/server.ts';
import type { ApiObject } from '../../test/apiserver/storage.ts';
import { makeTls, type TlsFiles } from '../../test/apiserver/tls.ts';
import { runCli } from '../../test/lib/fairlead-cli.ts';
import { schemaProblems } from '../../test/lib/kubernetes-schema.ts';
import { type CliError, EXIT } from '../exit.ts';
import { FIELD_MANAGER } from './cluster-api.ts';
import { type InstallerContext, type InstallOptions, install } from './install.ts';
import { rolloutOf } from './rollout.ts';
import { cleanupDaemonSet, type UninstallOptions, uninstall } from './uninstall.ts';

const NODES = ['n1', 'n2', 'n3'];
const NAMESPACE = 'fairlead-system';

let tlsDir: string;
let tls: TlsFiles;
let dir: string;
let server: TestApiServer;
let kubeconfig: string;
let said: string[];
let printed: string;
/** Nodes whose pods never get ready. */
let stuck: readonly string[];

/** As the controller and the kubelets do it: pods for each DaemonSet on each node, a status, no pods without their DaemonSet. */
function controller(): void {
	const kind = (name: string) => KINDS.find((each) => each.kind === name)!;
	const all = (name: string): ApiObject[] =>
		server.storage.list(kind(name), '', () => true, 0, '').versions.map(({ object }) => object);
	const sets = all('DaemonSet');
	for (const set of sets) {
		const { template } = set.spec as { template: ApiObject };
		const { name, namespace = '' } = set.metadata;
		for (const node of NODES) {
			const ready = !stuck.includes(node);
			const containerStatuses = ready ? [] : [{ name: 'agent', state: { waiting: { reason: 'ImagePullBackOff' } } }];
			put(server.storage, {
				apiVersion: 'v1',
				kind: 'Pod',
				metadata: {
					name: `${name}-${node}`,
					namespace,
					labels: template.metadata.labels ?? {},
					annotations: { set: name },
				},
				spec: { nodeName: node },
				status: { conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }], containerStatuses },
			});
		}
		const numberAvailable = NODES.length - stuck.length;
		const status = { desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable, observedGeneration: 99 };
		put(server.storage, { apiVersion: 'apps/v1', kind: 'DaemonSet', ...set, status });
	}
	for (const pod of all('Pod')) {
		const owner = pod.metadata.annotations?.set;
		if (sets.some(({ metadata }) => metadata.name === owner)) continue;
		server.storage.delete(kind('Pod'), `${pod.metadata.namespace}/${pod.metadata.name}`);
	}
}

beforeAll(() => {
	tlsDir = mkdtempSync(join(tmpdir(), 'fl-install-tls-'));
	tls = makeTls(tlsDir, ['127.0.0.1']);
});
afterAll(() => rmSync(tlsDir, { recursive: true }));

beforeEach(async () => {
	dir = mkdtempSync(join(tmpdir(), 'fl-install-'));
	server = new TestApiServer({ authenticate: true });
	server.allowToken('operator');
	const port = await server.listen('127.0.0.1', 0, tls);
	kubeconfig = join(dir, 'kubeconfig');
	const cluster = { server: `https://127.0.0.1:${port}`, 'certificate-authority': join(tlsDir, 'ca.crt') };
	writeFileSync(
		kubeconfig,
		JSON.stringify({
			apiVersion: 'v1',
			kind: 'Config',
			'current-context': 'test',
			contexts: [{ name: 'test', context: { cluster: 'test', user: 'me' } }],
			clusters: [{ name: 'test', cluster }],
			users: [{ name: 'me', user: { token: 'operator' } }],
		}),
	);
	put(server.storage, {
		apiVersion: 'discovery.k8s.io/v1',
		kind: 'EndpointSlice',
		metadata: { name: 'kubernetes', namespace: 'default', labels: { 'kubernetes.io/service-name': 'kubernetes' } },
		addressType: 'IPv4',
		ports: [{ name: 'https', port: 6443 }],
		endpoints: [{ addresses: ['192.0.2.2'] }, { addresses: ['192.0.2.1'], conditions: { ready: true } }],
	});
	said = [];
	printed = '';
	stuck = [];
});
afterEach(async () => {
	await server.close();
	rmSync(dir, { recursive: true });
});

const context = (): InstallerContext => ({
	version: '0.1.0',
	out: async (text) => {
		printed += text;
	},
	say: (line) => said.push(line),
	now: () => Date.now(),
	sleep: async () => {
		await sleep(1);
		controller();
	},
});

const runInstall = (over: Partial<InstallOptions> = {}): Promise<void> => {
	const defaults = { dryRun: false, forceConflicts: false, upgrade: false, resetValues: false, timeoutMs: 20_000 };
	return install({ namespace: NAMESPACE, layers: [], kubeconfig, context: '', ...defaults, ...over }, context());
};

const runUninstall = (over: Partial<UninstallOptions> = {}): Promise<void> => {
	const defaults = { dryRun: false, keepNodes: false, keepState: false, timeoutMs: 20_000 };
	return uninstall({ namespace: NAMESPACE, kubeconfig, context: '', ...defaults, ...over }, context());
};

const layer = (value: unknown) => ({ from: 'test', value });

/** 'Kind name' of what the installer has made and not removed. */
function present(): string[] {
	return KINDS.flatMap((info) =>
		server.storage
			.list(info, '', () => true, 0, '')
			.versions.map(({ object }) => `${info.kind} ${object.metadata.name}`),
	)
		.filter((name) => name.includes('fairlead'))
		.sort();
}

function stored<T extends KubernetesObject>(kind: string, name: string): T | undefined {
	const info = KINDS.find((each) => each.kind === kind)!;
	return server.storage.get(info, `${NAMESPACE}/${name}`)?.object as T | undefined;
}

function agentFile(): Record<string, unknown> {
	const { data } = stored<V1ConfigMap>('ConfigMap', 'fairlead-agent') ?? {};
	return parse(data?.['agent.yaml'] ?? '') as Record<string, unknown>;
}

const failure = (run: Promise<unknown>): Promise<CliError> =>
	run.then(
		() => Promise.reject(new Error('it did not fail')),
		(error: unknown) => error as CliError,
	);

const writes = () => server.seen.filter(({ verb }) => !['get', 'list', 'watch'].includes(verb));

describe('fairlead install', () => {
	it('applies every object in order on the server, and waits for all nodes', async () => {
		await runInstall({ layers: [layer({ config: { routing: 'direct' } })] });
		expect(said.filter((line) => line.startsWith('applied'))).toEqual([
			'applied Namespace fairlead-system',
			'applied ServiceAccount fairlead-system/fairlead-agent',
			'applied ClusterRole fairlead-agent',
			'applied ClusterRoleBinding fairlead-agent',
			'applied ConfigMap fairlead-system/fairlead-agent',
			'applied DaemonSet fairlead-system/fairlead-agent',
		]);
		expect(said.at(-1)).toBe('fairlead-agent: 3 of 3 nodes have this version, 3 are ready');
		expect(writes().every(({ verb, query }) => verb === 'patch' && query.fieldManager === FIELD_MANAGER)).toBe(true);
		expect(agentFile().routing).toBe('direct');
	});

	it('tells agents where the API servers are, unless that is given', async () => {
		await runInstall({ timeoutMs: 0 });
		expect(agentFile().k8sApiServer).toEqual(['https://192.0.2.1:6443', 'https://192.0.2.2:6443']);
		await runInstall({ timeoutMs: 0, layers: [layer({ config: { k8sApiServer: ['https://lb.example:6443'] } })] });
		expect(agentFile().k8sApiServer).toEqual(['https://lb.example:6443']);
	});

	it('prints objects and steps and changes nothing with --dry-run', async () => {
		put(server.storage, {
			apiVersion: 'apps/v1',
			kind: 'DaemonSet',
			metadata: { name: 'kube-proxy', namespace: 'kube-system' },
		});
		await runInstall({ dryRun: true });
		expect(writes()).toEqual([]);
		const objects = parseAllDocuments(printed).map((document) => document.toJS() as KubernetesObject);
		expect(schemaProblems(objects)).toEqual([]);
		const names = objects.map(({ kind, metadata }) => `${kind} ${metadata?.name}`);
		expect(names.at(-1)).toBe('DaemonSet fairlead-agent');
		expect(said.join('\n')).toContain('would apply in this order: Namespace fairlead-system, ServiceAccount');
		expect(said.join('\n')).toContain('kube-system/kube-proxy is there too');
		expect(said.join('\n')).toContain('kube-proxy listens on 10256 too');
		said = [];
		await runInstall({ dryRun: true, layers: [layer({ config: { healthzBindAddress: '[::]:10356' } })] });
		expect(said.join('\n')).not.toContain('10256');
	});

	it('says which nodes are not ready, and why, when the time is over', async () => {
		stuck = ['n2'];
		let now = 0;
		const hurried = { ...context(), now: () => (now += 5000) };
		const { message, exitCode } = await failure(
			install(
				{
					...{ namespace: NAMESPACE, layers: [], kubeconfig, context: '', dryRun: false, forceConflicts: false },
					...{ upgrade: false, resetValues: false, timeoutMs: 20_000 },
				},
				hurried,
			),
		);
		expect(exitCode).toBe(EXIT.NOT_READY);
		expect(message).toContain('3 of 3 nodes have this version, 2 are ready\n  node n2: agent: ImagePullBackOff');
		expect(message).not.toContain('n1');
	});

	it('refuses wrong values and old clusters before it changes anything', async () => {
		expect((await failure(runInstall({ layers: [layer({ config: { vni: 0 } })] }))).message).toContain('config.vni');
		expect((await failure(runInstall({ dryRun: true, kubernetesMinor: 28 }))).message).toContain('1.29 or later');
		expect(writes()).toEqual([]);
	});

	it('names the object and the server when it is refused or finds nobody', async () => {
		server.revokeToken('operator');
		const refused = await failure(runInstall());
		expect(refused).toMatchObject({ exitCode: EXIT.FAILURE, message: expect.stringContaining('answered 401') });
		await server.close();
		expect(await failure(runInstall())).toMatchObject({
			exitCode: EXIT.UNREACHABLE,
			message: expect.stringMatching(/cannot ask https:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED/),
		});
	});
});

describe('fairlead upgrade', () => {
	it('keeps the values that were given, under those that are given now', async () => {
		const given = { config: { routing: 'direct', vni: 7 }, nodeSelector: { 'kubernetes.io/os': null } };
		await runInstall({ timeoutMs: 0, layers: [layer(given)] });
		await runInstall({ timeoutMs: 0, upgrade: true, layers: [layer({ config: { vni: 9 } })] });
		expect(agentFile()).toMatchObject({ routing: 'direct', vni: 9 });
		const rendered = async (over: Partial<InstallOptions>): Promise<string> => {
			printed = '';
			await runInstall({ upgrade: true, dryRun: true, ...over });
			return printed;
		};
		const again = await rendered({});
		expect(again).toContain('vni: 9');
		expect(again).not.toMatch(/^ +nodeSelector:/m);
		expect(await rendered({ resetValues: true })).not.toContain('vni');
	});

	it('needs an installation, and one that tells its values', async () => {
		expect(await failure(runInstall({ upgrade: true }))).toMatchObject({ exitCode: EXIT.NOT_FOUND });
		await runInstall({ timeoutMs: 0 });
		const config = stored<V1ConfigMap>('ConfigMap', 'fairlead-agent');
		put(server.storage, {
			apiVersion: 'v1',
			kind: 'ConfigMap',
			metadata: { name: 'fairlead-agent', namespace: NAMESPACE },
			data: config?.data,
		});
		expect((await failure(runInstall({ upgrade: true }))).message).toContain('was not installed by this tool');
	});
});

describe('fairlead uninstall', () => {
	it('ends the agents, cleans the nodes, then removes every object and the namespace', async () => {
		await runInstall({
			layers: [layer({ restrictToOwnNode: true, monitoring: { podMonitor: true, rules: true } })],
		});
		const order: string[] = [];
		server.storage.onEvent(({ type, info, version }) => {
			const { name } = version.object.metadata;
			if (type !== 'MODIFIED' && info.kind !== 'Pod') order.push(`${type} ${info.kind} ${name}`);
		});
		await runUninstall();
		expect(present()).toEqual([]);
		expect(order).toEqual([
			'DELETED DaemonSet fairlead-agent',
			'ADDED DaemonSet fairlead-cleanup',
			'DELETED DaemonSet fairlead-cleanup',
			'DELETED PrometheusRule fairlead-agent',
			'DELETED PodMonitor fairlead-agent',
			'DELETED ValidatingAdmissionPolicyBinding fairlead-agent',
			'DELETED ValidatingAdmissionPolicy fairlead-agent',
			'DELETED ConfigMap fairlead-agent',
			'DELETED ClusterRoleBinding fairlead-agent',
			'DELETED ClusterRole fairlead-agent',
			'DELETED ServiceAccount fairlead-agent',
			'DELETED Namespace fairlead-system',
		]);
		expect(await failure(runUninstall())).toMatchObject({ exitCode: EXIT.NOT_FOUND });
	});

	it('cleans nodes with the image, the mounts and the rights of the agents', async () => {
		await runInstall({ timeoutMs: 0, layers: [layer({ image: { tag: 'x' }, config: { runDir: '/run/other' } })] });
		const agents = stored<V1DaemonSet>('DaemonSet', 'fairlead-agent') as V1DaemonSet;
		const made = cleanupDaemonSet({ apiVersion: 'apps/v1', kind: 'DaemonSet', ...agents }, false);
		expect(schemaProblems([made])).toEqual([]);
		const pod = made.spec?.template.spec;
		const agent = agents.spec?.template.spec?.containers[0];
		expect(pod?.initContainers?.[0]).toMatchObject({
			image: 'fairlead:x',
			args: ['cleanup', '--yes', '--state'],
			securityContext: agent?.securityContext,
			volumeMounts: agent?.volumeMounts,
		});
		expect(pod?.volumes).toContainEqual(
			expect.objectContaining({ hostPath: expect.objectContaining({ path: '/run/other' }) }),
		);
		expect(pod?.tolerations).toEqual([{ operator: 'Exists' }]);
		expect(cleanupDaemonSet(agents, true).spec?.template.spec?.initContainers?.[0]?.args).toEqual(['cleanup', '--yes']);
		const old = daemonSet({ ...baseInstallation(), kubernetesMinor: 29 });
		expect(cleanupDaemonSet(old, true).spec?.template.metadata?.annotations).toEqual({
			'container.apparmor.security.beta.kubernetes.io/cleanup': 'unconfined',
			'container.apparmor.security.beta.kubernetes.io/done': 'unconfined',
		});
		// a DaemonSet takes over pods that its selector finds
		expect(made.spec?.selector.matchLabels).not.toEqual(agents.spec?.selector.matchLabels);
		expect(made.spec?.template.metadata?.labels).toMatchObject(made.spec?.selector.matchLabels ?? {});
	});

	it('goes on where an earlier run has ended', async () => {
		await runInstall({ timeoutMs: 0 });
		let now = 0;
		const impatient = { ...context(), now: () => (now += 15_000), sleep: async () => stuckAfterCleanup() };
		const stuckAfterCleanup = (): void => {
			stuck = ['n3'];
			controller();
		};
		const all = { dryRun: false, keepNodes: false, keepState: false, timeoutMs: 40_000 };
		const run = uninstall({ namespace: NAMESPACE, kubeconfig, context: '', ...all }, impatient);
		expect((await failure(run)).message).toContain('node n3');
		expect(present()).toContain('DaemonSet fairlead-cleanup');
		stuck = [];
		await runUninstall();
		expect(present()).toEqual([]);
	});

	it('leaves the nodes alone when told, and foreign namespaces always', async () => {
		put(server.storage, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } });
		await runInstall({ timeoutMs: 0, layers: [layer({ namespace: { create: false } })] });
		await runUninstall({ keepNodes: true });
		expect(present()).toEqual([`Namespace ${NAMESPACE}`]);
		expect(said.join('\n')).not.toContain('cleanup');
	});

	it('prints its steps and changes nothing with --dry-run', async () => {
		await runInstall({ timeoutMs: 0 });
		const before = present();
		said = [];
		await runUninstall({ dryRun: true });
		expect(present()).toEqual(before);
		expect(said).toEqual([
			'would delete DaemonSet fairlead-system/fairlead-agent and wait at most 20 s for its pods to end',
			'would apply DaemonSet fairlead-system/fairlead-cleanup',
			'would wait at most 20 s until all nodes are clean, then delete it',
			'would delete ConfigMap fairlead-system/fairlead-agent',
			'would delete ClusterRoleBinding fairlead-agent',
			'would delete ClusterRole fairlead-agent',
			'would delete ServiceAccount fairlead-system/fairlead-agent',
			'would delete Namespace fairlead-system',
		]);
		expect(parse(printed)).toMatchObject({ kind: 'DaemonSet', metadata: { name: 'fairlead-cleanup' } });
	});
});

describe('a roll-out', () => {
	const set = (status: Partial<V1DaemonSet['status']>): V1DaemonSet =>
		({
			metadata: { generation: 4 },
			status: { observedGeneration: 4, desiredNumberScheduled: 2, ...status },
		}) as V1DaemonSet;

	it.each([
		['everything is there', { updatedNumberScheduled: 2, numberAvailable: 2 }, true],
		['a node has the old version', { updatedNumberScheduled: 1, numberAvailable: 2 }, false],
		['a node is not ready', { updatedNumberScheduled: 2, numberAvailable: 1 }, false],
		['the change was not looked at', { updatedNumberScheduled: 2, numberAvailable: 2, observedGeneration: 3 }, false],
		['no node is wanted', { desiredNumberScheduled: 0 }, true],
	])('is judged when %s', (_, status, done) => {
		expect(rolloutOf(set(status)).done).toBe(done);
	});
});

describe('the commands', () => {
	it('print the same from the real tool, without an API server, and name wrong values', async () => {
		const values = join(dir, 'values.yaml');
		writeFileSync(values, 'config: {logLevel: debug}\nmonitoring: {rules: true}\n');
		const offline = ['install', '--dry-run', '--kubernetes-version', 'v1.29.4', '-f', values];
		const { code, out, err } = await runCli([...offline, '--set', 'config.vni=42']);
		expect(err).toContain('would apply in this order: Namespace fairlead-system');
		expect(code).toBe(0);
		const objects = parseAllDocuments(out).map((document) => document.toJS() as KubernetesObject);
		expect(objects.map(({ kind }) => kind).slice(-2)).toEqual(['DaemonSet', 'PrometheusRule']);
		expect(out).toContain('vni: 42');
		expect(out).toContain('container.apparmor.security.beta.kubernetes.io/agent: unconfined');
		expect(await runCli([...offline, '--set', 'config.routing=ipip'])).toMatchObject({
			code: 2,
			err: expect.stringContaining('--set config.routing=ipip: config.routing: expected "vxlan" or "direct" or "auto"'),
		});
	});
});
