import { type IncomingHttpHeaders, request } from 'node:http';
import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { Readiness } from './health.ts';
import { healthRoutes } from './health.ts';
import type { HttpRoute, HttpServer } from './http-server.ts';
import { parseListenAddress, startAnswerServer, startHttpServer } from './http-server.ts';
import type { ProxyHealth } from './proxy-health.ts';

const servers: HttpServer[] = [];
afterEach(async () => {
	for (const server of servers.splice(0)) await server.close();
});

async function serve(routes: Readonly<Record<string, HttpRoute>>): Promise<number> {
	const server = await startHttpServer('127.0.0.1:0', routes);
	servers.push(server);
	return server.port;
}

interface Got {
	readonly status: number;
	readonly body: string;
	readonly headers: IncomingHttpHeaders;
}

function get(port: number, path: string, method = 'GET'): Promise<Got> {
	return new Promise((resolve, reject) => {
		const call = request({ host: '127.0.0.1', port, path, method }, (response) => {
			let body = '';
			response.on('data', (data: Buffer) => {
				body += data.toString();
			});
			response.on('end', () => resolve({ status: response.statusCode ?? 0, body, headers: response.headers }));
		});
		call.on('error', reject);
		call.end();
	});
}

const IN_STEP: ProxyHealth = {
	healthy: true,
	lastUpdatedMs: 5000,
	currentTimeMs: 5000,
	status: { IPv4: { lastUpdatedMs: 1000, healthy: true } },
};

describe('probes', () => {
	const sources = {
		readiness: (): Readiness => ({ ready: true, problems: [] }),
		proxyHealth: () => IN_STEP,
		nodeEligible: () => true,
	};

	it('say why the dataplane is not ready', async () => {
		let now: Readiness = { ready: false, problems: ['programs are not attached', 'files are not read'] };
		const port = await serve(healthRoutes({ ...sources, readiness: () => now }));
		const why = 'programs are not attached\nfiles are not read\n';
		expect(await get(port, '/readyz?verbose')).toMatchObject({ status: 503, body: why });
		now = { ready: true, problems: [] };
		expect(await get(port, '/readyz')).toMatchObject({ status: 200, body: 'ok\n' });
	});

	it('answer in JSON with the times of each family', async () => {
		const port = await serve(healthRoutes(sources));
		const answer = await get(port, '/healthz');
		expect(answer).toMatchObject({
			status: 200,
			headers: { 'content-type': 'application/json', 'x-content-type-options': 'nosniff' },
		});
		expect(JSON.parse(answer.body)).toEqual({
			lastUpdated: '1970-01-01T00:00:05.000Z',
			currentTime: '1970-01-01T00:00:05.000Z',
			nodeEligible: true,
			healthy: true,
			status: { IPv4: { lastUpdated: '1970-01-01T00:00:01.000Z', healthy: true } },
		});
	});

	it('send load balancers away from a node that goes away, without a restart of the agent', async () => {
		const port = await serve(healthRoutes({ ...sources, nodeEligible: () => false }));
		const healthz = await get(port, '/healthz');
		expect([healthz.status, JSON.parse(healthz.body)]).toMatchObject([503, { nodeEligible: false, healthy: true }]);
		const livez = await get(port, '/livez');
		expect(livez.status).toBe(200);
		expect(JSON.parse(livez.body)).not.toHaveProperty('nodeEligible');
	});

	it('fail both when changes do not get into force, and are counted', async () => {
		const seen: string[] = [];
		const behind = { ...IN_STEP, healthy: false, lastUpdatedMs: 1000 };
		const onAnswered = (probe: string, status: number): number => seen.push(`${probe} ${status}`);
		const port = await serve(healthRoutes({ ...sources, proxyHealth: () => behind, onAnswered }));
		expect((await get(port, '/healthz')).status).toBe(503);
		const { status, body } = await get(port, '/livez');
		expect([status, JSON.parse(body)]).toMatchObject([
			503,
			{ lastUpdated: '1970-01-01T00:00:01.000Z', healthy: false },
		]);
		expect(seen).toEqual(['healthz 503', 'livez 503']);
	});
});

describe('startHttpServer', () => {
	it('answers 404 with what there is', async () => {
		const port = await serve({ '/a': () => ({ status: 200, body: 'a' }), '/b': () => ({ status: 200, body: 'b' }) });
		expect(await get(port, '/c')).toMatchObject({ status: 404, body: 'try one of: /a /b\n' });
	});

	it('answers HEAD without a body and refuses other methods', async () => {
		const port = await serve({ '/a': () => ({ status: 200, body: 'four' }) });
		expect(await get(port, '/a', 'HEAD')).toMatchObject({
			status: 200,
			body: '',
			headers: { 'content-length': '4' },
		});
		expect(await get(port, '/a', 'POST')).toMatchObject({ status: 405 });
	});

	it('gives one answer on any path and to any method where that is asked for', async () => {
		const answer = () => ({ status: 503, headers: { 'x-weight': '0' }, body: 'none' });
		const server = await startAnswerServer('127.0.0.1', 0, answer);
		servers.push(server);
		for (const [path, method] of [
			['/', 'GET'],
			['/what/ever?x', 'POST'],
			['*', 'OPTIONS'],
		] as const) {
			expect(await get(server.port, path, method)).toMatchObject({
				status: 503,
				headers: { 'x-weight': '0' },
				body: 'none',
			});
		}
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
		['127.0.0.1:10249', { host: '127.0.0.1', port: 10249 }],
		['[::1]:0', { host: '::1', port: 0 }],
		['localhost:1', { host: 'localhost', port: 1 }],
	])('reads %s', (text, expected) => {
		expect(parseListenAddress(text)).toEqual(expected);
	});

	it.each(['', ':80', '127.0.0.1', '::1:80', '127.0.0.1:99999', '127.0.0.1:x'])('refuses %j', (text) => {
		expect(() => parseListenAddress(text)).toThrowError(expect.objectContaining({ code: 'CONFIG_INVALID' }));
	});
});
