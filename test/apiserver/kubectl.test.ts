import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { TestApiServer } from './server.ts';
import { makeTls } from './tls.ts';

/** No Debian package of a current kubectl exists, so it is not among the packages that bootstrap asks for. */
function hasKubectl(): boolean {
	try {
		execFileSync('kubectl', ['version', '--client'], { stdio: 'ignore' });
		return true;
	} catch {
		return false;
	}
}

const OBJECTS = (port: number) => `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.9, ports: [{port: ${port}, name: http}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.1.1.1]}]
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: admin}
spec: {tier: Admin, priority: 1}
`;

describe.runIf(hasKubectl())('kubectl', () => {
	const directory = mkdtempSync(join(tmpdir(), 'fl-kubectl-'));
	const server = new TestApiServer({ authenticate: true });
	let port = 0;

	beforeAll(async () => {
		server.allowToken('operator');
		port = await server.listen('127.0.0.1', 0, makeTls(directory, ['127.0.0.1']));
	});
	afterAll(async () => {
		await server.close();
		rmSync(directory, { recursive: true });
	});

	const env = { ...process.env, KUBECONFIG: '/dev/null' };
	function withAccess(args: readonly string[]): string[] {
		const access = ['--server', `https://127.0.0.1:${port}`, '--certificate-authority', join(directory, 'ca.crt')];
		return [...access, '--token', 'operator', '--cache-dir', join(directory, 'cache'), ...args];
	}

	async function kubectl(...args: string[]): Promise<string> {
		const { stdout } = await promisify(execFile)('kubectl', withAccess(args), { env });
		return stdout;
	}

	it('applies, gets and deletes the kinds that are used here', async () => {
		const file = join(directory, 'objects.yaml');
		const apply = async (...more: string[]) => (await kubectl('apply', '-f', file, ...more)).trim().split('\n');
		writeFileSync(file, OBJECTS(80));
		expect(await apply()).toEqual([
			'service/web created',
			'endpointslice.discovery.k8s.io/web-1 created',
			'clusternetworkpolicy.policy.networking.k8s.io/admin created',
		]);
		writeFileSync(file, OBJECTS(81));
		expect((await apply())[0]).toBe('service/web configured');
		expect(await kubectl('get', 'svc', 'web', '-o', 'jsonpath={.spec.ports[*].port}')).toBe('81');
		expect((await apply('--server-side', '--force-conflicts'))[0]).toBe('service/web serverside-applied');
		await kubectl('delete', '-f', file);
		expect(await kubectl('get', 'svc,endpointslices,cnp', '-A', '-o', 'name')).toBe('');
	});

	it('patches in every way, tries on the server, and watches', async () => {
		const file = join(directory, 'watched.yaml');
		writeFileSync(file, OBJECTS(80));
		await kubectl('apply', '-f', file);
		const watch = spawn(
			'kubectl',
			withAccess(['get', 'svc', 'web', '-w', '--output-watch-events', '-o', 'jsonpath={.type} ']),
			{
				env,
			},
		);
		let seen = '';
		watch.stdout.on('data', (data: Buffer) => {
			seen += data.toString();
		});
		try {
			while (seen === '') await once(watch.stdout, 'data');
			await kubectl('patch', 'svc', 'web', '-p', '{"spec":{"ports":[{"port":80,"nodePort":30080}]}}');
			await kubectl('patch', 'svc', 'web', '--type=merge', '-p', '{"spec":{"type":"NodePort"}}');
			const json = '[{"op":"add","path":"/metadata/labels","value":{"a":"b"}}]';
			await kubectl('patch', 'svc', 'web', '--type=json', '-p', json);
			await kubectl('apply', '-f', file, '--dry-run=server', '--server-side', '--force-conflicts');
			const path = 'jsonpath={.spec.type} {.spec.ports[*].name} {.spec.ports[*].nodePort} {.metadata.labels.a}';
			expect(await kubectl('get', 'svc', 'web', '-o', path)).toBe('NodePort http 30080 b');
			await kubectl('delete', '-f', file);
			while (!seen.includes('DELETED')) await once(watch.stdout, 'data');
			expect(seen.match(/ADDED|MODIFIED|DELETED/g)).toEqual(['ADDED', 'MODIFIED', 'MODIFIED', 'MODIFIED', 'DELETED']);
		} finally {
			watch.kill();
		}
	});

	it('makes of our Kustomize base what the files in it say', async () => {
		const base = join(import.meta.dirname, '../../manifests/base');
		const { stdout } = await promisify(execFile)('kubectl', ['kustomize', base]);
		const made = parseAllDocuments(stdout).map((document) => document.toJS() as unknown);
		const files = readdirSync(base).filter((name) => name !== 'kustomization.yaml');
		const wanted = files.map((name) => parse(readFileSync(join(base, name), 'utf8')) as unknown);
		expect(made).toHaveLength(wanted.length);
		expect(made).toEqual(expect.arrayContaining(wanted));
	});
});
