import { createServer } from 'node:net';
import { expect, it } from 'vitest';
import { SteadyServer } from './steady-server.ts';

it('waits for a port that another program holds, says so once and then serves', async () => {
	const other = createServer();
	await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
	const bound = other.address();
	const address = `127.0.0.1:${typeof bound === 'object' && bound !== null ? bound.port : 0}`;
	const said: string[] = [];
	const recovered = Promise.withResolvers<void>();
	const server = new SteadyServer({
		address,
		routes: { '/': () => ({ status: 200, body: 'here' }) },
		onProblem: (problem) => {
			said.push(problem);
			if (problem === '') recovered.resolve();
		},
		retryMs: 10,
	});
	await server.start();
	expect([server.port, server.problem]).toEqual([undefined, `cannot listen on ${address}: EADDRINUSE`]);
	await new Promise((resolve) => setTimeout(resolve, 30));
	other.close();
	await recovered.promise;
	expect(said).toEqual([`cannot listen on ${address}: EADDRINUSE`, '']);
	expect(await (await fetch(`http://${address}/`)).text()).toBe('here');
	await server.close();
	await expect(fetch(`http://${address}/`)).rejects.toThrow();
});

it('does nothing when it is off, and ends while it waits', async () => {
	const off = new SteadyServer({ address: 'off', routes: {}, onProblem: () => undefined });
	await off.start();
	expect([off.port, off.problem]).toEqual([undefined, '']);
	const stuck = new SteadyServer({
		address: '203.0.113.1:1',
		routes: {},
		onProblem: () => undefined,
		retryMs: 3_600_000,
	});
	await stuck.start();
	expect(stuck.problem).toBe('cannot listen on 203.0.113.1:1: EADDRNOTAVAIL');
	await stuck.close();
});
