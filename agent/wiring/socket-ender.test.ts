import { statSync } from 'node:fs';
import { pino } from 'pino';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { SockRevEntry } from '../../native/abi/generated.ts';
import { addressBytes } from '../model/address.ts';
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
	svcId: 1,
	frontends: [{ address: vip, port: 80 }],
});
const kernel = { mapGet: () => undefined, mapDelete: () => false };
const OWN = '/proc/self/ns/net';

it('looks once for all backends that go together, in the namespaces that are still those of their pods', async () => {
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
		isKept: () => false,
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
		isKept: () => false,
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

/** enum of net/tcp_states.h. */
const ESTABLISHED = 1;
const SYN_SENT = 2;

/** NETLINK_SOCK_DIAG's record of a connection. */
function connection(unanswered: number, state: number): Uint8Array {
	const bytes = Buffer.alloc(16 + 72);
	bytes.writeUInt32LE(bytes.length, 0);
	bytes.writeUInt16LE(20, 4);
	bytes.writeUInt8(2, 16);
	bytes.writeUInt8(state, 16 + 1);
	bytes.writeUInt8(unanswered, 16 + 3);
	bytes.writeBigUInt64LE(77n, 16 + 4 + 40);
	return bytes;
}

describe('a connection to a pod that has left its service', () => {
	afterEach(() => void vi.useRealTimers());

	/** One connection of the node, by 10.96.0.1. */
	async function openWith(isKept: () => boolean) {
		vi.useFakeTimers();
		const { dev, ino } = statSync(OWN);
		const now = { state: ESTABLISHED, unanswered: 0, looks: 0, looksIntoPod: 0, ended: 0, back: false };
		const request = ({ netns, messages }: { netns?: string; messages: Uint8Array[] }) => {
			const types = messages.map((message) => Buffer.from(message).readUInt16LE(4));
			if (types[0] === 20 && netns !== undefined) now.looksIntoPod++;
			else if (types[0] === 20) now.looks++;
			const ofProbe = types[0] === 20 && types.includes(21);
			return Promise.resolve(
				types.map((type, i) => {
					if (type === 21) return ofProbe ? [nlError(ENOENT)] : [];
					return i === 0 && netns === undefined ? [connection(now.unanswered, now.state)] : [];
				}),
			);
		};
		const row = SockRevEntry.encode({ addr: addressBytes('10.96.0.1'), port: 80, svcId: 1 });
		const ender = await SocketEnder.open({
			request,
			kernel: { mapGet: () => row, mapDelete: () => true },
			namespaces: () => [{ path: OWN, dev, ino }],
			leadsTo: () => now.back,
			isKept,
			onEnded: (count) => {
				now.ended += count;
			},
			log: QUIET,
		});
		now.looks = 0;
		return { ender, now };
	}

	it('goes on while it is answered, is looked at ever more rarely, and is ended when it is not', async () => {
		const { ender, now } = await openWith(() => false);
		ender.add([gone(8080, '10.96.0.1')]);
		await vi.advanceTimersByTimeAsync(60);
		expect(now).toMatchObject({ looks: 1, looksIntoPod: 1, ended: 0 });
		await vi.advanceTimersByTimeAsync(2000 + 4000);
		now.unanswered = 2;
		await vi.advanceTimersByTimeAsync(8000 + 16_000 + 30_000 + 30_000);
		expect(now).toMatchObject({ looks: 7, looksIntoPod: 1, ended: 0 });
		now.unanswered = 3;
		await vi.advanceTimersByTimeAsync(30_000);
		expect(now).toMatchObject({ looks: 8, ended: 1 });
		await vi.advanceTimersByTimeAsync(120_000);
		expect(now.looks).toBe(8);
		await ender.close();
	});

	it('is ended before it has begun when its first packet is not answered', async () => {
		const { ender, now } = await openWith(() => false);
		now.state = SYN_SENT;
		ender.add([gone(8080, '10.96.0.1')]);
		await vi.advanceTimersByTimeAsync(60);
		expect(now).toMatchObject({ looks: 1, ended: 0 });
		now.unanswered = 1;
		await vi.advanceTimersByTimeAsync(2000);
		expect(now).toMatchObject({ looks: 2, ended: 1 });
		await ender.close();
	});

	it('goes on without answers while its endpoint is only not ready, and for good when that is back', async () => {
		const { ender, now } = await openWith(() => true);
		now.unanswered = 9;
		ender.add([gone(8080, '10.96.0.1')]);
		await vi.advanceTimersByTimeAsync(60 + 2000 + 4000);
		expect(now).toMatchObject({ looks: 3, ended: 0 });
		now.back = true;
		await vi.advanceTimersByTimeAsync(120_000);
		expect(now).toMatchObject({ looks: 4, ended: 0 });
		await ender.close();
	});

	it('is not looked at any more when the agent ends', async () => {
		const { ender, now } = await openWith(() => false);
		ender.add([gone(8080, '10.96.0.1')]);
		await vi.advanceTimersByTimeAsync(60);
		await ender.close();
		await vi.advanceTimersByTimeAsync(120_000);
		expect(now.looks).toBe(1);
	});
});
