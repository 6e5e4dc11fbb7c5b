/** Services at the socket: TCP and UDP, connected or not, both families, refusals. Real sockets. */
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
	AffinityKey,
	Backend,
	DropReason,
	EventType,
	FlowEvent,
	Hook,
	SourceKey,
	SvcEntry,
	SvcFlags,
	SvcKey,
} from '../../native/abi/generated.ts';
import type { Row, ServiceFixture } from '../lib/dataplane.ts';
import { NetnsProcess } from '../lib/netns-process.ts';
import { address16, addressText } from '../lib/packet.ts';
import type { Seen } from './socket-worker.ts';
import { PROTO, V4, V6, WORLD } from './world.ts';

const FAMILIES = [
	{ family: 4, vip: V4.vip, node: V4.node, one: '10.88.0.1', two: '10.88.0.2' },
	{ family: 6, vip: V6.vip, node: V6.node, one: 'fd88::1', two: 'fd88::2' },
] as const;
const PORT = {
	one: 80,
	both: 81,
	empty: 82,
	dns: 53,
	emptyUdp: 54,
	bothUdp: 55,
	undefined: 99,
	nodePort: 30080,
	sticky: 83,
	ranges: 84,
} as const;
const BACKEND_PORT = 8080;

function services(x: (typeof FAMILIES)[number]): ServiceFixture[] {
	const [one, two] = [x.one, x.two].map((address) => ({ address, port: BACKEND_PORT, local: true }));
	if (!one || !two) {
		throw new Error('two backends exist');
	}
	const tcp = { address: x.vip, proto: PROTO.TCP };
	const udp = { address: x.vip, proto: PROTO.UDP };
	return [
		{ ...tcp, port: PORT.one, backends: [one] },
		{ ...tcp, port: PORT.both, backends: [one, two] },
		{ ...tcp, port: PORT.sticky, flags: SvcFlags.AFFINITY, affinityTimeoutS: 60, backends: [one, two] },
		{ ...tcp, port: PORT.ranges, sourceSet: 7, backends: [one] },
		{ ...tcp, port: PORT.empty, backends: [] },
		{ ...udp, port: PORT.dns, backends: [one] },
		{ ...udp, port: PORT.emptyUdp, backends: [] },
		{ ...udp, port: PORT.bothUdp, backends: [one, two] },
		{ ...tcp, address: x.node, external: true, nodeAddress: true, port: PORT.nodePort, backends: [one] },
	];
}

let worker: NetnsProcess;
beforeAll(async () => {
	worker = new NetnsProcess(resolve(import.meta.dirname, 'socket-worker.ts'));
	const addresses = FAMILIES.flatMap((x) => [x.one, x.two]);
	await worker.call('start', { ...WORLD, services: FAMILIES.flatMap(services) }, addresses);
	for (const address of addresses) {
		await worker.call('listen', address, BACKEND_PORT);
	}
});
afterAll(() => worker?.close());

const tcp = (address: string, port: number) => worker.call<Seen>('tcp', address, port);
const udp = (address: string, port: number, connected: boolean) => worker.call<Seen>('udp', address, port, connected);

describe.each(FAMILIES)('a socket of IPv$family', (x) => {
	it('reaches the backend by TCP and believes it talks to the service', async () => {
		const seen = await tcp(x.vip, PORT.one);
		expect(seen).toEqual({ peer: `${x.vip} ${PORT.one}`, text: `${x.one} ${BACKEND_PORT}` });
	});

	it('stays with one backend of a service with session affinity, as the node, whose process it is', async () => {
		const texts = new Set<string | undefined>();
		for (let i = 0; i < 20; i++) texts.add((await tcp(x.vip, PORT.sticky)).text);
		expect(texts.size).toBe(1);
		const clients = (await worker.call<Row[]>('entries', 'affinity')).map(({ key }) =>
			addressText(AffinityKey.decode(key).client),
		);
		expect(clients).toContain(x.node);
	});

	it('is forbidden what the source ranges of a service do not allow the node', async () => {
		expect(await tcp(x.vip, PORT.ranges)).toEqual({ error: 'EPERM' });
		const set = SourceKey.encode({ prefixLen: 32 + 128, set: 7, addr: address16(x.node) });
		await worker.call('set', 'sources', set, new Uint8Array(4));
		expect(await tcp(x.vip, PORT.ranges)).toMatchObject({ text: `${x.one} ${BACKEND_PORT}` });
	});

	it('reaches all backends in turn', async () => {
		const texts = new Set<string | undefined>();
		for (let i = 0; i < 40; i++) {
			texts.add((await tcp(x.vip, PORT.both)).text);
		}
		expect(texts).toEqual(new Set([`${x.one} ${BACKEND_PORT}`, `${x.two} ${BACKEND_PORT}`]));
	});

	it('is refused at once when there is no endpoint or no such port', async () => {
		for (const port of [PORT.empty, PORT.undefined]) {
			expect(await tcp(x.vip, port)).toEqual({ error: 'ECONNREFUSED' });
		}
	});

	it('is told of in an event when it is refused', async () => {
		await worker.call('events');
		await tcp(x.vip, PORT.empty);
		const events = (await worker.call<Uint8Array[]>('events')).map((bytes) => FlowEvent.decode(bytes));
		expect(events).toHaveLength(1);
		expect(events[0]).toMatchObject({
			type: EventType.DROP,
			reason: DropReason.NO_BACKEND,
			hook: Hook.SOCKET,
			proto: PROTO.TCP,
			dport: PORT.empty,
		});
		expect(addressText(events[0]?.dst ?? new Uint8Array(16))).toBe(x.vip);
		expect(addressText(events[0]?.src ?? new Uint8Array(16))).toBe(x.node);
		expect(events[0]?.bytes[0]).toBeGreaterThan(0n);
	});

	it.each([true, false])('exchanges datagrams with the service (connected: %s)', async (connected) => {
		const seen = await udp(x.vip, PORT.dns, connected);
		expect(seen).toEqual({ peer: `${x.vip} ${PORT.dns}`, text: `${x.one} ${BACKEND_PORT}` });
	});

	it.each([true, false])(
		'is refused for datagrams to a service without endpoints (connected: %s)',
		async (connected) => {
			expect(await udp(x.vip, PORT.emptyUdp, connected)).toEqual({ error: 'ECONNREFUSED' });
		},
	);

	it('reaches a node port at the node address, and other ports there untouched', async () => {
		expect((await tcp(x.node, PORT.nodePort)).text).toBe(`${x.one} ${BACKEND_PORT}`);
		expect(await tcp(x.node, PORT.nodePort + 1)).toEqual({ error: 'ECONNREFUSED' });
	});

	it('reaches a backend by its own address without translation', async () => {
		const seen = await tcp(x.one, BACKEND_PORT);
		expect(seen).toEqual({ peer: `${x.one} ${BACKEND_PORT}`, text: `${x.one} ${BACKEND_PORT}` });
	});

	it('forgets closed TCP sockets', async () => {
		await tcp(x.vip, PORT.one);
		const rows = (await worker.call<Row[]>('entries', 'sock_rev')).filter(
			({ value }) => addressText(value.subarray(0, 16)) === x.vip && value[17] === PORT.one,
		);
		expect(rows).toEqual([]);
	});

	it('sends new datagrams of an unconnected socket to another backend when its own is gone', async () => {
		const rows = await worker.call<Row[]>('entries', 'backends');
		const dns = rows.find(({ value }) => {
			const b = Backend.decode(value);
			return b.proto === PROTO.UDP && addressText(b.addr) === x.one;
		});
		if (!dns) {
			throw new Error('the world has no backend of the UDP service');
		}
		const old = Backend.decode(dns.value);
		const moved = { ...old, addr: old.addr.slice() };
		moved.addr[15] = 2;
		await worker.call('set', 'backends', dns.key, Backend.encode({ ...moved, generation: 2 }));
		try {
			expect((await udp(x.vip, PORT.dns, false)).text).toBe(`${x.two} ${BACKEND_PORT}`);
		} finally {
			await worker.call('set', 'backends', dns.key, dns.value);
		}
	});
});

describe.each(FAMILIES)('an unconnected socket of IPv$family', (x) => {
	const isTwo = ({ value }: Row): boolean => {
		const { addr, proto } = Backend.decode(value);
		return proto === PROTO.UDP && addressText(addr) === x.two;
	};
	const ask = (socket: number) => worker.call<Seen>('ask', socket, x.vip, PORT.bothUdp);

	async function openSockets(): Promise<{ socket: number; text: string | undefined }[]> {
		const sockets = [];
		for (let i = 0; i < 24; i++) {
			const socket = await worker.call<number>('open', x.family);
			await ask(socket);
			sockets.push({ socket, text: (await ask(socket)).text });
		}
		return sockets;
	}

	it('stays with its backend as long as that serves, whatever becomes of the list, and no longer', async () => {
		const entry = (await worker.call<Row[]>('entries', 'services')).find(({ key }) => {
			const { addr, port, proto } = SvcKey.decode(key);
			return addressText(addr) === x.vip && port === PORT.bothUdp && proto === PROTO.UDP;
		});
		const row = (await worker.call<Row[]>('entries', 'backends')).find(isTwo);
		if (entry === undefined || row === undefined) throw new Error('the world has no such service');
		const [one, two] = [`${x.one} ${BACKEND_PORT}`, `${x.two} ${BACKEND_PORT}`];
		const sockets = await openSockets();
		expect(new Set(sockets.map(({ text }) => text))).toEqual(new Set([one, two]));
		const old = SvcEntry.decode(entry.value);
		await worker.call('set', 'services', entry.key, SvcEntry.encode({ ...old, generation: 2, allCount: 1 }));
		try {
			for (const { socket, text } of sockets)
				expect(await ask(socket)).toEqual({ peer: `${x.vip} ${PORT.bothUdp}`, text });
			expect(new Set((await openSockets()).map(({ text }) => text))).toEqual(new Set([one]));
			const gone = Backend.encode({ ...Backend.decode(row.value), flags: 0, generation: 2 });
			await worker.call('set', 'backends', row.key, gone);
			for (const { socket } of sockets) expect((await ask(socket)).text).toBe(one);
		} finally {
			await worker.call('set', 'services', entry.key, entry.value);
			await worker.call('set', 'backends', row.key, row.value);
			await worker.call('closeAll');
		}
	});
});

describe('an IPv6 socket with an IPv4 destination', () => {
	it('reaches an IPv4 service', async () => {
		const seen = await tcp(`::ffff:${V4.vip}`, PORT.one);
		expect(seen).toEqual({ peer: `::ffff:${V4.vip} ${PORT.one}`, text: `10.88.0.1 ${BACKEND_PORT}` });
	});
});
