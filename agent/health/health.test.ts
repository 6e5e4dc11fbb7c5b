import { request } from 'node:http';
import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { Readiness } from './health.ts';
import { healthRoutes } from './health.ts';
import type { HttpRoute, HttpServer } from './http-server.ts';
import { parseListenAddress, startHttpServer } from './http-server.ts';

const servers: HttpServer[] = [];
afterEach(async () => {
	for (const server of servers.splice(0)) await server.close();
});

async function serve(routes: Readonly<Record<string, HttpRoute>>): Promise<number> {
	const server = await startHttpServer('127.0.0.1:0', routes);
	servers.push(server);
	return server.port;
}

function get(port: number, path: string, method = 'GET'): Promise<{ status: number; body: string; length: string }> {
	return new Promise((resolve, reject) => {
		const call = request({ host: '127.0.0.1', port, path, method }, (response) => {
			let body = '';
			response.on('data', (data: Buffer) => {
				body += data.toString();
			});
			response.on('end', () =>
				resolve({ status: response.statusCode ?? 0, body, length: response.headers['content-length'] ?? '' }),
			);
		});
		call.on('error', reject);
		call.end();
	});
}

describe('health', () => {
	it('is alive but not ready until the dataplane is, and says why', async () => {
		let now: Readiness = { ready: false, problems: ['programs are not attached', 'files are not read'] };
		const port = await serve(healthRoutes(() => now));
		expect(await get(port, '/livez')).toMatchObject({ status: 200, body: 'ok\n' });
		const why = 'programs are not attached\nfiles are not read\n';
		expect(await get(port, '/readyz')).toMatchObject({ status: 503, body: why });
		expect(await get(port, '/healthz?verbose')).toMatchObject({ status: 503, body: why });
		now = { ready: true, problems: [] };
		expect(await get(port, '/readyz')).toMatchObject({ status: 200, body: 'ok\n' });
	});
});

describe('startHttpServer', () => {
	it('answers 404 with what there is', async () => {
		const port = await serve({ '/a': () => ({ status: 200, body: 'a' }), '/b': () => ({ status: 200, body: 'b' }) });
		expect(await get(port, '/c')).toMatchObject({ status: 404, body: 'try one of: /a /b\n' });
	});

	it('answers HEAD without a body and refuses other methods', async () => {
		const port = await serve({ '/a': () => ({ status: 200, body: 'four' }) });
		expect(await get(port, '/a', 'HEAD')).toEqual({ status: 200, body: '', length: '4' });
		expect(await get(port, '/a', 'POST')).toMatchObject({ status: 405 });
	});

	it('turns a failure into 500 and goes on', async () => {
		const fail = () => Promise.reject(new Error('map is gone'));
		const port = await serve({ '/fail': fail, '/a': () => ({ status: 200, body: 'a' }) });
		expect(await get(port, '/fail')).toMatchObject({ status: 500, body: 'map is gone\n' });
		expect(await get(port, '/a')).toMatchObject({ status: 200 });
	});

	it('says that the port is taken', async () => {
		const other = createServer();
		await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
		const bound = other.address();
		const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
		await expect(startHttpServer(`127.0.0.1:${port}`, {})).rejects.toMatchObject({ code: 'SOCKET_BUSY' });
		other.close();
	});
});

describe('parseListenAddress', () => {
	it.each([
		['127.0.0.1:9962', { host: '127.0.0.1', port: 9962 }],
		['[::1]:0', { host: '::1', port: 0 }],
		['localhost:1', { host: 'localhost', port: 1 }],
	])('reads %s', (text, expected) => {
		expect(parseListenAddress(text)).toEqual(expected);
	});

	it.each(['', ':80', '127.0.0.1', '::1:80', '127.0.0.1:99999', '127.0.0.1:x'])('refuses %j', (text) => {
		expect(() => parseListenAddress(text)).toThrowError(expect.objectContaining({ code: 'CONFIG_INVALID' }));
	});
});
