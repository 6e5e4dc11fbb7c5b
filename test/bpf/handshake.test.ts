/**
 * When a connection counts as established: until then its flow goes after a minute, from then on it is kept for a day (TCP) or ten minutes (SCTP). Whoever
 * sends SYNs or INITs from addresses of others is answered, and must not keep what the answers alone make.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CtFlags } from '../../native/abi/generated.ts';
import { NODE_OBJECTS, type RunResult } from '../lib/dataplane.ts';
import { ip, parse, raw, sctp, tcp } from '../lib/packet.ts';
import {
	type Addresses,
	BACKEND_PORT,
	FAMILIES,
	POD_A,
	POD_B,
	podFrame,
	SERVICE,
	TestNode,
	uplinkFrame,
	WORLD,
} from './world.ts';
import { AT, MODE, PORT, sportOf, XDP, xdpWorld } from './xdp-world.ts';

const CLIENT_PORT = 40_000;

let node: TestNode;
beforeAll(async () => {
	const world = xdpWorld(MODE.snat);
	const services = [...(WORLD.services ?? []), ...(world.services ?? [])];
	node = await TestNode.start({ ...world, services }, [...NODE_OBJECTS, 'xdp_lb', 'clock']);
	await node.dataplane.attachXdp('xdp_lb', 'uplink');
}, 120_000);
afterAll(() => node?.close());
beforeEach(() => node.reset());

/** How packets of a connection come to the node. */
interface Way {
	readonly client: (x: Addresses, flags: string) => Promise<RunResult>;
	/** @param port  of the client, as the server sees it */
	readonly server: (x: Addresses, flags: string, port: number) => Promise<RunResult>;
}

const segment = (sport: number, dport: number, flags: string) => tcp({ sport, dport, flags, seq: 7, ack: 9 });
const fromA = (x: Addresses, to: string, dport: number, flags: string) =>
	node.fromPod(POD_A, podFrame(POD_A, ip(x.a, to), segment(CLIENT_PORT, dport, flags)));
const fromB = (x: Addresses, flags: string, port: number) =>
	node.fromPod(POD_B, podFrame(POD_B, ip(x.b, x.a), segment(BACKEND_PORT.web, port, flags)));

const web = { proto: 'tcp', dport: PORT.web } as const;
const fromOutside = (x: Addresses, flags: string): Uint8Array =>
	uplinkFrame(ip(x.world, x.external), segment(sportOf(x, web, AT.node3), PORT.web, flags));
const fromNode3 = (x: Addresses, flags: string, port: number): Uint8Array =>
	uplinkFrame(ip(x.pod3, x.node), segment(BACKEND_PORT.web, port, flags));

/** What XDP passes goes to tc. */
async function throughXdp(packet: Uint8Array): Promise<RunResult> {
	const got = await node.dataplane.run('xdp_lb', packet, { device: 'uplink' });
	return got.verdict === XDP.PASS ? node.fromUplink(packet) : got;
}

const WAYS: Record<string, Way> = {
	'pod to pod': { client: (x, flags) => fromA(x, x.b, BACKEND_PORT.web, flags), server: fromB },
	'pod to service': { client: (x, flags) => fromA(x, x.vip, SERVICE.web, flags), server: fromB },
	'pod to the world, masqueraded': {
		client: (x, flags) => fromA(x, x.world, 443, flags),
		server: (x, flags, port) => node.fromUplink(uplinkFrame(ip(x.world, x.node), segment(443, port, flags))),
	},
	'outside to a backend on another node, by tc': {
		client: (x, flags) => node.fromUplink(fromOutside(x, flags)),
		server: (x, flags, port) => node.fromUplink(fromNode3(x, flags, port)),
	},
	'outside to a backend on another node, by XDP': {
		client: (x, flags) => throughXdp(fromOutside(x, flags)),
		server: (x, flags, port) => throughXdp(fromNode3(x, flags, port)),
	},
};

describe.each(Object.keys(WAYS).flatMap((way) => FAMILIES.map((x) => ({ way, x, family: x.family }))))(
	'a TCP connection, $way, IPv$family',
	({ way, x }) => {
		const { client, server } = WAYS[way] as Way;
		let port = 0;
		const ask = async (flags: string): Promise<void> => {
			const { packet, drops } = await client(x, flags);
			expect(drops).toEqual({});
			for (const layer of parse(packet).layers) if (layer.kind === 'tcp') port = layer.sport;
		};
		const answer = async (flags: string): Promise<void> => {
			expect((await server(x, flags, port)).drops).toEqual({});
		};
		/** Of each of the flow's entries, each value once. */
		const established = async (): Promise<boolean[]> => {
			const flows = await node.flows();
			return [...new Set(flows.map(({ flags }) => (flags & CtFlags.ESTABLISHED) !== 0))];
		};

		it('is established when its client comes back to the answer, not by the answer', async () => {
			await ask('S');
			expect(await established()).toEqual([false]);
			await answer('SA');
			await answer('SA');
			await ask('S');
			expect(await established()).toEqual([false]);
			await ask('A');
			expect(await established()).toEqual([true]);
		});

		it('is not by what its client sends without an answer, or without acknowledging it', async () => {
			await ask('S');
			await ask('A');
			expect(await established()).toEqual([false]);
			await answer('SA');
			await ask('F');
			expect(await established()).toEqual([false]);
			await ask('A');
			expect(await established()).toEqual([true]);
		});

		it('is by what the server says when nobody has seen its beginning', async () => {
			await ask('A');
			expect(await established()).toEqual([false]);
			await answer('PA');
			expect(await established()).toEqual([true]);
		});

		it('is over by a reset from whoever got an answer without having asked', async () => {
			await ask('S');
			await answer('SA');
			await ask('R');
			const flows = await node.flows();
			expect(flows.map(({ flags }) => flags & (CtFlags.ESTABLISHED | CtFlags.CLOSING))).toEqual(
				flows.map(() => CtFlags.CLOSING),
			);
		});
	},
);

/** First chunks of packets, RFC 9260 section 3.2. */
const CHUNK = { INIT: 1, INIT_ACK: 2, COOKIE_ECHO: 10, COOKIE_ACK: 11 } as const;

describe.each(FAMILIES)('an SCTP association over IPv$family', (x) => {
	const packet = (sport: number, dport: number, chunk: number) =>
		[sctp({ sport, dport, tag: 1 }), raw(Uint8Array.of(chunk, 0, 0, 4))] as const;
	const ways = [
		{ way: 'pod to pod', to: x.b, dport: BACKEND_PORT.sctp },
		{ way: 'pod to service', to: x.vip, dport: SERVICE.sctp },
	];

	it.each(ways)('$way is established by what follows the first answer', async ({ to, dport }) => {
		const ask = async (chunk: number): Promise<void> => {
			const sent = podFrame(POD_A, ip(x.a, to), ...packet(CLIENT_PORT, dport, chunk));
			expect((await node.fromPod(POD_A, sent)).drops).toEqual({});
		};
		const answer = async (chunk: number): Promise<void> => {
			const sent = podFrame(POD_B, ip(x.b, x.a), ...packet(BACKEND_PORT.sctp, CLIENT_PORT, chunk));
			expect((await node.fromPod(POD_B, sent)).drops).toEqual({});
		};
		const established = async (): Promise<number> =>
			(await node.flows()).filter(({ flags }) => flags & CtFlags.ESTABLISHED).length;

		await ask(CHUNK.INIT);
		await answer(CHUNK.INIT_ACK);
		await answer(CHUNK.INIT_ACK);
		expect(await established()).toBe(0);
		await ask(CHUNK.COOKIE_ECHO);
		expect(await established()).toBe(0);
		await answer(CHUNK.COOKIE_ACK);
		expect(await established()).toBe(1);
	});
});
