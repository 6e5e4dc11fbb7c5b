/**
 * `fairlead-agent --check-config` as an operator runs it, against the machine's real links. Changes nothing on the machine.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
const NODE_OBJECT = {
	apiVersion: 'v1',
	kind: 'Node',
	metadata: { name: 'n1' },
	spec: { podCIDRs: ['10.244.7.0/24'] },
	status: { addresses: [{ type: 'InternalIP', address: '192.0.2.7' }] },
};

let dir: string;
beforeEach(() => {
	dir = mkdtempSync(join(tmpdir(), 'fairlead-check-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

async function check(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
	const command = [join(ROOT, 'agent/main.ts'), '--check-config', '--files-dir', dir, '--node-name', 'n1', ...args];
	try {
		const { stdout, stderr } = await run(join(ROOT, 'node_modules/.bin/node'), command, { timeout: 30_000 });
		return { status: 0, stdout, stderr };
	} catch (thrown) {
		const { code, stdout, stderr } = thrown as { code: number; stdout: string; stderr: string };
		return { status: code, stdout, stderr };
	}
}

describe('fairlead-agent --check-config', () => {
	it('prints every value with its origin and the reason of automatic choices', async () => {
		writeFileSync(join(dir, 'node.yaml'), JSON.stringify(NODE_OBJECT));
		const { status, stdout } = await check('--uplink', 'lo', '--routing', 'vxlan', '--service-cidrs', '10.96.0.0/16');
		expect(status).toBe(0);
		expect(stdout).toMatch(/^routing: "vxlan" +# flag --routing$/m);
		expect(stdout).toMatch(/^uplink: "lo" +# flag --uplink$/m);
		expect(stdout).toMatch(/^podCidrs: \["10\.244\.7\.0\/24"\] +# automatic: spec\.podCIDRs of node n1$/m);
		expect(stdout).toMatch(/^mtu: \d+ +# automatic: \d+ of lo less 50 for VXLAN over IPv4$/m);
		expect(stdout).toMatch(/^snatPorts: .* # automatic: .*ip_local_port_range/m);
	});

	it('says which object is missing when automatic values cannot be resolved', async () => {
		const { status, stdout } = await check();
		expect(status).toBe(0);
		expect(stdout).toContain('# Node n1 is not in');
	});

	it('refuses wrong values, naming source, key and what was expected', async () => {
		const { status, stdout, stderr } = await check('--vni', 'many');
		expect(status).toBe(1);
		expect(stdout).toBe('');
		expect(stderr).toContain('CONFIG_INVALID');
		expect(stderr).toContain('flag --vni: vni');
	});

	it('names the uplink that does not exist', async () => {
		writeFileSync(join(dir, 'node.yaml'), JSON.stringify(NODE_OBJECT));
		const { status, stderr } = await check('--uplink', 'nosuch0');
		expect(status).toBe(1);
		expect(stderr).toContain('UPLINK_UNKNOWN');
		expect(stderr).toContain('nosuch0');
	});
});
