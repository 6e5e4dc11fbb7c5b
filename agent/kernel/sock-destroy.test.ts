import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SockRevEntry, SockRevKey } from '../../native/abi/generated.ts';
import { netlinkRequest } from '../../native/index.ts';
import { eventually } from '../../test/lib/cluster/exec.ts';
import { NetnsProcess } from '../../test/lib/netns-process.ts';
import { addressBytes } from '../model/address.ts';
import { decodeReply, encodeMessage } from './netlink-codec.ts';
import {
	destroySockets,
	type GoneBackend,
	type LeadsTo,
	probeSockDestroy,
	type SockDestroyOptions,
} from './sock-destroy.ts';
import { listConnected, NETLINK_SOCK_DIAG, type Peer, parseDiagSocket } from './sock-diag-codec.ts';

const TCP = 6;
const UDP = 17;
const PORT = 7001;
const VIP = { address: '10.96.0.10', port: 80 };

describe('sockets of a backend that is gone', () => {
	let pod: NetnsProcess;
	beforeAll(() => {
		pod = new NetnsProcess(join(import.meta.dirname, 'testdata/socket-process.ts'));
	});
	afterAll(() => pod.close());

	/** Cookie by source port of the sockets in the pod that are connected to a peer. */
	async function cookies(peer: Peer): Promise<Map<number, bigint>> {
		const messages = listConnected(peer).map((message, i) => encodeMessage(message, i + 1));
		const raw = await netlinkRequest({ netns: pod.netnsPath, protocol: NETLINK_SOCK_DIAG, messages });
		const found = raw.flatMap((each) => decodeReply(each).records.map(parseDiagSocket));
		return new Map(
			found.flatMap((socket) => {
				return socket === undefined ? [] : [[((socket.id[0] ?? 0) << 8) | (socket.id[1] ?? 0), socket.cookie] as const];
			}),
		);
	}

	/** The map sock_rev as a value. */
	function sockRev(namespaces: readonly string[] = [pod.netnsPath]) {
		const rows = new Map<string, Uint8Array>();
		const text = (key: Uint8Array): string => Buffer.from(key).toString('hex');
		const options: SockDestroyOptions = {
			request: netlinkRequest,
			lookUp: (key) => rows.get(text(key)),
			remove: (key) => void rows.delete(text(key)),
			leadsTo: () => false,
			namespaces: () => namespaces,
		};
		const add = (cookie: bigint, peer: Peer, vip = VIP): void => {
			const key = SockRevKey.encode({ cookie, addr: addressBytes(peer.address), port: peer.port });
			rows.set(text(key), SockRevEntry.encode({ addr: addressBytes(vip.address), port: vip.port, svcId: 1 }));
		};
		return { rows, options, add };
	}

	/** Two connections of the pod to one backend, each by one of the frontends. */
	async function twoConnections(frontends: readonly [typeof VIP, typeof VIP]) {
		const ports = [await pod.call<number>('tcp', '127.0.0.1'), await pod.call<number>('tcp', '127.0.0.1')] as const;
		const backend: GoneBackend = { address: '127.0.0.1', port: PORT, proto: TCP, frontends };
		const { options, add } = sockRev();
		const found = await cookies(backend);
		for (const [i, port] of ports.entries()) add(found.get(port) ?? 0n, backend, frontends[i]);
		return { backend, options, ports, found };
	}

	const ended = (port: number): Promise<string> =>
		eventually('the socket has ended', async () => {
			const end = await pod.call<string>('end', port);
			if (end === '') throw new Error('it lives');
			return end;
		});

	it('can be ended by this kernel', async () => {
		expect(await probeSockDestroy(netlinkRequest)).toBe('');
	});

	it.each([
		['tcp', TCP, '127.0.0.1', '127.0.0.1'],
		['tcp', TCP, '::1', '::1'],
		['tcp', TCP, '127.0.0.1', '::ffff:127.0.0.1'],
		['udp', UDP, '127.0.0.1', '127.0.0.1'],
		['udp', UDP, '::1', '::1'],
	] as const)(
		'%s (%i) to %s, opened as %s: end when they came through the service, and no others do',
		async (method, proto, address, host) => {
			const [mine, direct, other] = [
				await pod.call<number>(method, host),
				await pod.call<number>(method, host),
				await pod.call<number>(method, host),
			];
			const backend: GoneBackend = { address, port: PORT, proto, frontends: [VIP] };
			const found = await cookies(backend);
			expect([...found.keys()]).toEqual(expect.arrayContaining([mine, direct, other]));
			const { rows, options, add } = sockRev();
			add(found.get(mine) ?? 0n, backend);
			add(found.get(other) ?? 0n, backend, { address: '10.96.0.99', port: 80 });
			expect(await destroySockets([backend], options)).toEqual({ destroyed: 1, problems: [], left: [] });
			expect(await ended(mine)).toBe('ECONNABORTED');
			expect(await pod.call<string>('end', direct)).toBe('');
			expect(await pod.call<string>('end', other)).toBe('');
			expect(rows.size).toBe(1);
			expect([...(await cookies(backend)).keys()]).not.toContain(mine);
		},
	);

	it('are left alone when their backend had finished: what it said is not lost to an error', async () => {
		const { backend, options, ports } = await twoConnections([VIP, VIP]);
		const [finished, open] = ports;
		await eventually('the end of the answer is here', async () => {
			if (!(await pod.call<boolean>('finish', finished))) throw new Error('not yet');
		});
		expect(await destroySockets([backend], options)).toEqual({ destroyed: 1, problems: [], left: [] });
		expect(await ended(open)).toBe('ECONNABORTED');
		expect(await pod.call<string>('end', finished)).toBe('');
	});

	it('are left alone when their backend is back at the address that they came by, and at no other', async () => {
		const { backend, options, ports } = await twoConnections([VIP, { address: '10.96.0.11', port: 80 }]);
		const [mine, other] = ports;
		const leadsTo: LeadsTo = ({ address }, { port }) => address === VIP.address && port === PORT;
		expect(await destroySockets([backend], { ...options, leadsTo })).toEqual({ destroyed: 1, problems: [], left: [] });
		expect(await ended(other)).toBe('ECONNABORTED');
		expect(await pod.call<string>('end', mine)).toBe('');
	});

	it('are left alone when they are to be spared, and their backends are named', async () => {
		const { backend, options, ports, found } = await twoConnections([VIP, VIP]);
		const [mine, other] = ports;
		const spares: SockDestroyOptions['spares'] = (_, { cookie, unanswered }) =>
			cookie === found.get(mine) && unanswered === 0;
		const nobody = { ...backend, port: PORT + 1 };
		const report = await destroySockets([backend, nobody], { ...options, spares });
		const left = [{ ...backend, where: new Set([pod.netnsPath]) }];
		expect(report).toEqual({ destroyed: 1, problems: [], left });
		const elsewhere = [{ ...backend, where: new Set([undefined]) }];
		expect(await destroySockets(elsewhere, options)).toEqual({ destroyed: 0, problems: [], left: [] });
		expect(await destroySockets(left, { ...options, spares })).toEqual({ destroyed: 0, problems: [], left });
		expect(await ended(other)).toBe('ECONNABORTED');
		expect(await pod.call<string>('end', mine)).toBe('');
	});

	it('are left alone when another port or address is gone', async () => {
		const port = await pod.call<number>('tcp', '127.0.0.1');
		const peer = { address: '127.0.0.1', port: PORT, proto: TCP };
		const { options, add } = sockRev();
		const cookie = (await cookies(peer)).get(port) ?? 0n;
		for (const gone of [
			{ ...peer, port: PORT + 1 },
			{ ...peer, address: '127.0.0.2' },
			{ ...peer, proto: UDP },
		]) {
			add(cookie, gone);
			expect(await destroySockets([{ ...gone, frontends: [VIP] }], options)).toEqual({
				destroyed: 0,
				problems: [],
				left: [],
			});
		}
		expect(await pod.call<string>('end', port)).toBe('');
	});

	it('end in the namespaces that are there although one is not', async () => {
		const port = await pod.call<number>('tcp', '127.0.0.1');
		const backend = { address: '127.0.0.1', port: PORT, proto: TCP, frontends: [VIP] };
		const { options, add } = sockRev(['/run/netns/never-was', pod.netnsPath]);
		add((await cookies(backend)).get(port) ?? 0n, backend);
		const report = await destroySockets([backend], options);
		expect(report).toMatchObject({
			destroyed: 1,
			problems: [expect.stringContaining('/run/netns/never-was') as string],
		});
		expect(await ended(port)).toBe('ECONNABORTED');
	});

	it('cost nothing when no backend is gone', async () => {
		const { options } = sockRev();
		const request = () => Promise.reject(new Error('not to be asked'));
		expect(await destroySockets([], { ...options, request })).toEqual({ destroyed: 0, problems: [], left: [] });
	});
});
