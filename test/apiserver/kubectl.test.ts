import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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

	async function kubectl(...args: string[]): Promise<string> {
		const access = ['--server', `https://127.0.0.1:${port}`, '--certificate-authority', join(directory, 'ca.crt')];
		const all = [...access, '--token', 'operator', '--cache-dir', join(directory, 'cache'), ...args];
		const { stdout } = await promisify(execFile)('kubectl', all, { env: { ...process.env, KUBECONFIG: '/dev/null' } });
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
});
