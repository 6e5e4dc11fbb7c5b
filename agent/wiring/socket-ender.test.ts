import { pino } from 'pino';
import { expect, it, vi } from 'vitest';
import { delayOf, SocketEnder } from './socket-ender.ts';

const QUIET = pino({ level: 'silent' });

/** Answers as the kernel does: nothing connected; ending `code`. */
function kernelThat(code: number) {
	const asked: { netns: string | undefined; types: number[] }[] = [];
	const request = (job: { netns?: string; protocol: number; messages: Uint8Array[] }) => {
		const types = job.messages.map((message) => Buffer.from(message).readUInt16LE(4));
		asked.push({ netns: job.netns, types });
		return Promise.resolve(job.messages.map((_, i) => (types[i] === 20 ? [] : [nlError(code)])));
	};
	return { asked, request };
}

/** NLMSG_ERROR with an errno. */
function nlError(errno: number): Uint8Array {
	const bytes = Buffer.alloc(36);
	bytes.writeUInt32LE(36, 0);
	bytes.writeUInt16LE(2, 4);
	bytes.writeInt32LE(-errno, 16);
	return bytes;
}
const ENOENT = 2;
const EOPNOTSUPP = 95;

const gone = (port: number, vip: string) => ({
	address: '10.0.0.1',
	port,
	proto: 6,
	frontends: [{ address: vip, port: 80 }],
});
const kernel = { mapGet: () => undefined, mapDelete: () => false };
const OWN = '/proc/self/ns/net';

it('looks once for all backends that go together, in the namespaces that are still those of their pods', async () => {
	const { statSync } = await import('node:fs');
	const { dev, ino } = statSync(OWN);
	const { asked, request } = kernelThat(ENOENT);
	const namespaces = () => [
		{ path: OWN, dev, ino },
		{ path: '/proc/thread-self/ns/net', dev, ino: ino + 1 },
		{ path: '/proc/self/fd/-1', dev, ino },
		{ path: '/run/netns/gone', dev, ino },
	];
	const ender = await SocketEnder.open({
		request,
		kernel,
		namespaces,
		leadsTo: () => false,
		onEnded: () => undefined,
		log: QUIET,
		delayMs: 5,
	});
	expect(ender.summary).toBe('ended with their backend');
	asked.splice(0);
	ender.add([gone(8080, '10.96.0.1'), gone(8081, '10.96.0.1')]);
	ender.add([gone(8080, '10.96.0.2')]);
	await vi.waitFor(() => expect(asked).toHaveLength(2));
	// two backends, each asked for among IPv4 and IPv6 sockets
	expect(asked.map(({ netns, types }) => [netns, types.length])).toEqual([
		[undefined, 4],
		[OWN, 4],
	]);
	await ender.close();
});

it('waits longer after a look that took long', () => {
	expect(delayOf(1000, { endedMs: 900, tookMs: 5 })).toBe(50);
	expect(delayOf(1000, { endedMs: 990, tookMs: 40 })).toBe(350);
	expect(delayOf(9000, { endedMs: 990, tookMs: 40 })).toBe(50);
});

it('says so and leaves all alone where the kernel cannot end sockets', async () => {
	const { asked, request } = kernelThat(EOPNOTSUPP);
	const ender = await SocketEnder.open({
		request,
		kernel,
		namespaces: () => [],
		leadsTo: () => false,
		onEnded: () => undefined,
		log: QUIET,
		delayMs: 0,
	});
	expect(ender.summary).toContain('CONFIG_INET_DIAG_DESTROY');
	asked.splice(0);
	ender.add([gone(8080, '10.96.0.1')]);
	await ender.close();
	expect(asked).toEqual([]);
});
