import { createServer, type Server } from 'node:net';
import { describe, expect, it } from 'vitest';
import { loadConfig } from './config.ts';
import { excludeEachOther } from './listeners.ts';
import { CONFIG_NAMES } from './schema.ts';

function refusal(file: string, args: readonly string[] = []): string {
	try {
		loadConfig({ args, environment: { FAIRLEAD_CONFIG: '/agent.yaml' }, readFile: () => file, hostName: () => 'a' });
	} catch (thrown) {
		const { code, message } = thrown as Error & { code: unknown };
		return `${code}: ${message}`;
	}
	return 'accepted';
}

function listen(host: string, port: number): Promise<Server> {
	return new Promise((resolve, reject) => {
		const server = createServer().once('error', reject);
		server.listen(port, host, () => resolve(server));
	});
}

/** Whether the kernel lets two sockets listen at these hosts with one port. Another program may have it at the second one: tried again. */
async function kernelLetsBoth(first: string, second: string): Promise<boolean> {
	for (let attempt = 0; attempt < 5; attempt++) {
		const one = await listen(first, 0);
		const bound = one.address();
		const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
		const two = await listen(second, port).catch((error: NodeJS.ErrnoException) => error.code);
		one.close();
		if (typeof two === 'object') two.close();
		if (two !== 'EADDRINUSE') return true;
	}
	return false;
}

describe('the addresses at which the agent listens', () => {
	it.each([
		['127.0.0.1', '127.0.0.1'],
		['127.0.0.1', '127.0.0.2'],
		['0.0.0.0', '127.0.0.1'],
		['0.0.0.0', '0.0.0.0'],
		['0.0.0.0', '::1'],
		['0.0.0.0', '::'],
		['::', '127.0.0.1'],
		['::', '::1'],
		['::1', '127.0.0.1'],
		['::1', '0:0::1'],
		['::ffff:127.0.0.1', '127.0.0.1'],
		['::ffff:0.0.0.0', '127.0.0.1'],
	])('%s and %s exclude each other if the kernel says so', async (first, second) => {
		const expected = !(await kernelLetsBoth(first, second));
		const at = (host: string, port: number) => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);
		expect(excludeEachOther(at(first, 7), at(second, 7))).toBe(expected);
		expect(excludeEachOther(at(second, 7), at(first, 7))).toBe(expected);
		expect(excludeEachOther(at(first, 7), at(second, 8))).toBe(false);
	});

	it.each([
		['node-a', 'NODE-A', true],
		['node-a', '[::]', true],
		['node-a', '0.0.0.0', false],
		['localhost', '127.0.0.1', false],
	])('%s and %s, of which nobody knows more here, do so: %s', (first, second, expected) => {
		expect(excludeEachOther(`${first}:7`, `${second}:7`)).toBe(expected);
		expect(excludeEachOther(`${second}:7`, `${first}:7`)).toBe(expected);
	});

	it('are refused with both keys, their values and where these come from', () => {
		expect(refusal('metricsBindAddress: 127.0.0.1:10256')).toBe(
			'CONFIG_CONFLICT: cannot listen at both healthzBindAddress [::]:10256 (default) and metricsBindAddress 127.0.0.1:10256 (file /agent.yaml): they share addresses, so that they need different ports',
		);
		expect(refusal('standalone: true', ['--healthz-bind-address', '127.0.0.1:10249'])).toContain(
			'healthzBindAddress 127.0.0.1:10249 (flag --healthz-bind-address) and metricsBindAddress 127.0.0.1:10249 (default)',
		);
	});

	it('are taken when they are apart, or one of them is off', () => {
		expect(refusal("healthzBindAddress: '127.0.0.1:9'\nmetricsBindAddress: '[::1]:9'")).toBe('accepted');
		expect(refusal("healthzBindAddress: 'off'\nmetricsBindAddress: 'off'")).toBe('accepted');
	});

	it('are compared, each that there is', () => {
		for (const name of CONFIG_NAMES.filter((each) => each.endsWith('BindAddress'))) {
			const others = ['healthzBindAddress', 'metricsBindAddress'].filter((each) => each !== name);
			for (const other of others)
				expect(refusal(`${name}: '[::]:9'\n${other}: '0.0.0.0:9'`)).toContain('CONFIG_CONFLICT');
		}
	});
});
