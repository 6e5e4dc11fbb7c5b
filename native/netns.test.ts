import { closeSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NativeError, netlinkRequest, netnsCookie, netnsCookieAsync, netnsInode, openSocketInNetns } from './index.ts';
import { inNetns, ip, openFds, uniqueName } from './testdata/harness.ts';

const NETLINK_ROUTE = 0;
const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;

const netns = uniqueName('fl-nn-');
const path = `/run/netns/${netns}`;
beforeAll(() => {
	ip('netns', 'add', netns);
	ip('-n', netns, 'link', 'set', 'lo', 'up');
	ip('-n', netns, 'link', 'add', 'flnn0', 'type', 'veth', 'peer', 'name', 'flnn1');
});
afterAll(() => {
	ip('netns', 'del', netns);
});

/** A request of struct ifinfomsg. */
function linkRequest(type: number, flags: number, o: { index?: number; seq?: number; up?: boolean } = {}): Uint8Array {
	const message = new DataView(new ArrayBuffer(32));
	message.setUint32(0, 32, true);
	message.setUint16(4, type, true);
	message.setUint16(6, flags, true);
	message.setUint32(8, o.seq ?? 1, true);
	message.setInt32(20, o.index ?? 0, true);
	message.setUint32(24, o.up ? 1 : 0, true);
	message.setUint32(28, o.up ? 1 : 0, true);
	return new Uint8Array(message.buffer);
}
const view = (message: Uint8Array) => new DataView(message.buffer, message.byteOffset, message.byteLength);
const typeOf = (message: Uint8Array | undefined) => (message ? view(message).getUint16(4, true) : -1);
const errorOf = (message: Uint8Array | undefined) => (message ? view(message).getInt32(16, true) : 1);
const holds = (message: Uint8Array, text: string) => Buffer.from(message).includes(text);

const dump = linkRequest(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP);

describe('netlink', () => {
	it('dumps the links of another namespace while this thread stays in its own', async () => {
		const mine = readlinkSync('/proc/thread-self/ns/net');
		const [replies = []] = await netlinkRequest({ netns: path, protocol: NETLINK_ROUTE, messages: [dump] });
		expect(typeOf(replies.at(-1))).toBe(NLMSG_DONE);
		const links = replies.slice(0, -1);
		expect(links.every((m) => typeOf(m) === RTM_NEWLINK)).toBe(true);
		expect(links.some((m) => holds(m, 'flnn0\0'))).toBe(true);
		expect(readlinkSync('/proc/thread-self/ns/net')).toBe(mine);
		const [own = []] = await netlinkRequest({ protocol: NETLINK_ROUTE, messages: [dump] });
		expect(own.some((m) => holds(m, 'flnn0\0'))).toBe(false);
	});

	it('answers each request in turn, also after one that failed', async () => {
		const ask = NLM_F_REQUEST | NLM_F_ACK;
		const index = inNetns(netns, (n) => n.ifindexOf('flnn0'), {});
		const replies = await netlinkRequest({
			netns: path,
			protocol: NETLINK_ROUTE,
			messages: [
				linkRequest(RTM_NEWLINK, ask, { index, up: true, seq: 1 }),
				linkRequest(RTM_NEWLINK, ask, { index: 999_999, up: true, seq: 2 }),
				linkRequest(RTM_GETLINK, NLM_F_REQUEST, { index, seq: 3 }),
				linkRequest(RTM_GETLINK, ask, { index, seq: 4 }),
				linkRequest(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, { seq: 5 }),
			],
		});
		expect(replies.map((r) => r.map(typeOf))).toEqual([
			[NLMSG_ERROR],
			[NLMSG_ERROR],
			[RTM_NEWLINK],
			[RTM_NEWLINK, NLMSG_ERROR],
			[RTM_NEWLINK, RTM_NEWLINK, RTM_NEWLINK, NLMSG_DONE],
		]);
		expect(errorOf(replies[0]?.[0])).toBe(0);
		expect(errorOf(replies[1]?.[0])).toBe(-19);
		expect(errorOf(replies[3]?.[1])).toBe(0);
		expect(replies.map((r) => view(r[0] ?? dump).getUint32(8, true))).toEqual([1, 2, 3, 4, 5]);
	});

	it('brings the kernel’s own words when it refuses', async () => {
		const request = linkRequest(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP);
		view(request).setUint8(17, 1);
		const [replies = []] = await netlinkRequest({ protocol: NETLINK_ROUTE, messages: [request] });
		const text = Buffer.from(replies.at(-1) ?? []).toString('latin1');
		expect(text).toContain('Invalid values in header for link dump request');
	});

	it('serves many namespaces at the same time without mixing them up', async () => {
		const others = [1, 2, 3].map(() => uniqueName('fl-nn-'));
		try {
			others.forEach((name, i) => {
				ip('netns', 'add', name);
				ip('-n', name, 'link', 'add', `only${i}`, 'type', 'veth', 'peer', 'name', `peer${i}`);
			});
			const rounds = Array.from({ length: 60 }, async (_, round) => {
				const i = round % 3;
				const job = { netns: `/run/netns/${others[i]}`, protocol: NETLINK_ROUTE, messages: [dump] };
				const [replies = []] = await netlinkRequest(job);
				return [0, 1, 2].filter((k) => replies.some((m) => holds(m, `only${k}\0`))).join() === String(i);
			});
			expect((await Promise.all(rounds)).every(Boolean)).toBe(true);
		} finally {
			for (const name of others) ip('netns', 'del', name);
		}
	});

	it('gives up after the time limit', async () => {
		const silent = linkRequest(RTM_NEWLINK, NLM_F_REQUEST, { index: 1 });
		const started = Date.now();
		const job = { netns: path, protocol: NETLINK_ROUTE, messages: [silent], timeoutMs: 100 };
		await expect(netlinkRequest(job)).rejects.toMatchObject({ code: 'ETIMEDOUT', syscall: 'recv' });
		expect(Date.now() - started).toBeGreaterThanOrEqual(90);
	});

	it('asks in one namespace after the other, and only when all can be entered', async () => {
		const up = linkRequest(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, { index: 1, up: true });
		const here = { protocol: NETLINK_ROUTE, messages: [linkRequest(RTM_GETLINK, NLM_F_REQUEST, { index: 1 })] };
		const next = { netns: path, messages: [up, dump], next: here };
		const replies = await netlinkRequest({ ...here, next });
		expect(replies.map((r) => typeOf(r[0]))).toEqual([RTM_NEWLINK, NLMSG_ERROR, RTM_NEWLINK, RTM_NEWLINK]);
		expect(replies[2]?.some((m) => holds(m, 'flnn0\0'))).toBe(true);

		const down = linkRequest(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, { index: 1, up: false });
		view(down).setUint32(28, 1, true);
		const job = {
			netns: path,
			protocol: NETLINK_ROUTE,
			messages: [down],
			next: { netns: '/run/netns/none', messages: [] },
		};
		await expect(netlinkRequest(job)).rejects.toMatchObject({ code: 'ENOENT', syscall: 'open' });
		expect(ip('-n', netns, 'link', 'show', 'lo')).toContain(',UP');
	});

	it('has every thread at home when a call has ended, whether it worked or not', async () => {
		const homes = () => readdirSync('/proc/self/task').map((tid) => readlinkSync(`/proc/self/task/${tid}/ns/net`));
		const mine = readlinkSync('/proc/thread-self/ns/net');
		const calls = Array.from({ length: 40 }, (_, i) => [
			netlinkRequest({ netns: path, protocol: i % 2 ? NETLINK_ROUTE : 255, messages: [dump] }),
			netnsCookieAsync(i % 2 ? path : '/etc/hostname'),
			openSocketInNetns(path, 2, i % 2 ? 2 : 99, 0).then(closeSync),
		]);
		const settled = await Promise.allSettled(calls.flat());
		expect(settled.filter(({ status }) => status === 'rejected')).toHaveLength(60);
		expect(new Set(homes())).toEqual(new Set([mine]));
	});

	it('tells namespaces apart by their cookies', async () => {
		const [own, other] = [await netnsCookieAsync('/proc/self/ns/net'), await netnsCookieAsync(path)];
		expect(own).toBe(netnsCookie());
		expect(other).toBeGreaterThan(0n);
		expect(other).not.toBe(own);
	});

	it('leaves nothing open, whether it worked or not', async () => {
		await netlinkRequest({ netns: path, protocol: NETLINK_ROUTE, messages: [dump] });
		const before = openFds();
		for (let i = 0; i < 50; i++) {
			await netlinkRequest({ netns: path, protocol: NETLINK_ROUTE, messages: [dump] });
			await netlinkRequest({ netns: '/etc/hostname', protocol: NETLINK_ROUTE, messages: [dump] }).catch(
				() => undefined,
			);
			await netlinkRequest({ netns: '/run/netns/none', protocol: NETLINK_ROUTE, messages: [dump] }).catch(
				() => undefined,
			);
			const next = { netns: i % 2 ? '/etc/hostname' : path, messages: [dump] };
			await netlinkRequest({ netns: path, protocol: NETLINK_ROUTE, messages: [dump], next }).catch(() => undefined);
		}
		expect(openFds()).toBe(before);
	});

	it.each([
		['/run/netns/none', 'open', 'ENOENT', 'cannot open network namespace /run/netns/none'],
		['/etc/hostname', 'setns', 'EINVAL', 'cannot enter network namespace /etc/hostname'],
	])('says what is wrong with the namespace %s', async (where, syscall, code, message) => {
		const error = await netlinkRequest({ netns: where, protocol: NETLINK_ROUTE, messages: [dump] }).catch(
			(e: unknown) => e,
		);
		expect(error).toBeInstanceOf(NativeError);
		expect(error).toMatchObject({ syscall, code, message: expect.stringContaining(message) });
	});

	it('checks its arguments before it starts', () => {
		const call = (messages: unknown, more: object = {}) =>
			netlinkRequest({ protocol: NETLINK_ROUTE, messages: messages as Uint8Array[], ...more });
		expect(() => call('x')).toThrow('messages: expected an array');
		expect(() => call([dump, 7])).toThrow('messages[1]: expected a Uint8Array');
		expect(() => call([new Uint8Array(10)])).toThrow('messages[0]: its header says 0 bytes, it has 10');
		expect(() => call([Uint8Array.of(...dump, 0)])).toThrow('messages[0]: its header says 32 bytes, it has 33');
		expect(() => call([linkRequest(RTM_GETLINK, 0)])).toThrow('messages[0]: expected flag NLM_F_REQUEST');
		expect(() => call([dump], { next: { messages: 'x' } })).toThrow('messages: expected an array');
		expect(() => call([dump], { next: { messages: [dump, 7] } })).toThrow('messages[1]: expected a Uint8Array');
		expect(() => call([dump], { next: { netns: 7, messages: [dump] } })).toThrow('netns: expected');
		expect(() => call([dump], { timeoutMs: 0 })).toThrow('timeoutMs: expected 1 or more');
		expect(() => call([dump], { protocol: -1 })).toThrow('protocol: expected an integer');
	});
});

describe('sockets', () => {
	it('listen inside the namespace and serve this event loop', async () => {
		const fd = await openSocketInNetns(path, 2, 1, 0);
		const server: Server = createServer((socket) => socket.end('inside'));
		await new Promise<void>((resolve) => server.listen({ fd }, resolve));
		try {
			const address = server.address();
			const port = typeof address === 'object' ? address?.port : undefined;
			const answer = await new Promise<string>((resolve, reject) => {
				const { execFile } = process.getBuiltinModule('node:child_process');
				const script = `exec 3<>/dev/tcp/127.0.0.1/${port}; cat <&3`;
				execFile('nsenter', [`--net=${path}`, 'timeout', '5', 'bash', '-c', script], (error, out) =>
					error ? reject(error) : resolve(out),
				);
			});
			expect(answer).toBe('inside');
			await expect(connectHere(port ?? 0)).resolves.toBe('refused');
		} finally {
			await new Promise((resolve) => server.close(resolve));
		}
	});

	it('are refused with the errno of socket(2)', async () => {
		await expect(openSocketInNetns(path, 2, 99, 0)).rejects.toMatchObject({ code: 'EINVAL', syscall: 'socket' });
	});
});

async function connectHere(port: number): Promise<string> {
	const { connect } = await import('node:net');
	return await new Promise((resolve) => {
		const socket = connect({ host: '127.0.0.1', port });
		socket.once('connect', () => {
			socket.destroy();
			resolve('connected');
		});
		socket.once('error', (error: NodeJS.ErrnoException) =>
			resolve(error.code === 'ECONNREFUSED' ? 'refused' : String(error)),
		);
	});
}

describe('a namespace', () => {
	it('is known by its inode, whatever path leads to it', () => {
		expect(netnsInode(path)).toBe(inNetns(netns, (n) => n.netnsInode('/proc/self/ns/net'), {}));
		expect(netnsInode('/proc/self/ns/net')).toBe(statSync('/proc/thread-self/ns/net').ino);
		expect(netnsInode(path)).not.toBe(netnsInode('/proc/self/ns/net'));
	});
});
