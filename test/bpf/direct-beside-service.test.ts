/**
 * A client that talks to a backend through a service and to the backend itself, from one address and port: two flows, whose answers
 * have the same addresses and ports, unless the backend sees another port in one of them.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CtFlags, DropReason } from '../../native/abi/generated.ts';
import type { RunResult } from '../lib/dataplane.ts';
import { VERDICT } from '../lib/dataplane.ts';
import { icmp, icmpv6, ip, layerOf, quoted, raw, tcp, udp } from '../lib/packet.ts';
import {
	BACKEND_PORT,
	expectDrop,
	expectVerdict,
	FAMILIES,
	ipOf,
	POD_A,
	POD_B,
	podFrame,
	SERVICE,
	TestNode,
} from './world.ts';

const PORT = 42000;
const PAYLOAD = raw('datagram');

let node: TestNode;
beforeAll(async () => {
	node = await TestNode.start();
});
afterAll(() => node?.close());
beforeEach(() => node.reset());

const PROTOCOLS = [
	{ protocol: 'tcp', service: SERVICE.web, backend: BACKEND_PORT.web },
	{ protocol: 'udp', service: SERVICE.dns, backend: BACKEND_PORT.dns },
] as const;

describe.each(FAMILIES.flatMap((x) => PROTOCOLS.map((each) => ({ ...x, ...each }))))(
	'one client port for a service and its backend, $protocol, IPv$family',
	(x) => {
		const table = x.family === 4 ? 'ct4' : 'ct6';
		const l4 = (sport: number, dport: number, flags: string) =>
			x.protocol === 'tcp' ? tcp({ sport, dport, flags, seq: 1, ack: 1 }) : udp({ sport, dport });
		const portsOf = (got: RunResult, sent: Uint8Array): { src: string; sport: number; dport: number } => {
			const { sport, dport } = layerOf(expectVerdict(sent, got, VERDICT.REDIRECT), x.protocol);
			return { src: ipOf(got.packet).src, sport, dport };
		};
		const send = async (to: string, dport: number, flags: string = 'S') => {
			const sent = podFrame(POD_A, ip(x.a, to), l4(PORT, dport, flags), PAYLOAD);
			return portsOf(await node.fromPod(POD_A, sent), sent);
		};
		const answer = async (dport: number, flags: string = 'SA') => {
			const sent = podFrame(POD_B, ip(x.b, x.a), l4(x.backend, dport, flags), PAYLOAD);
			return portsOf(await node.fromPod(POD_B, sent), sent);
		};
		const toService = (flags?: string) => send(x.vip, x.service, flags);
		const toBackend = (flags?: string) => send(x.b, x.backend, flags);
		const FROM_SERVICE = { src: x.vip, sport: x.service, dport: PORT };
		const FROM_BACKEND = { src: x.b, sport: x.backend, dport: PORT };

		/** Both flows go on, whatever the backend sees them by. */
		async function expectBoth(servicePort: number, directPort: number): Promise<void> {
			expect(servicePort).not.toBe(directPort);
			for (let round = 0; round < 2; round++) {
				expect(await answer(servicePort)).toEqual(FROM_SERVICE);
				expect(await answer(directPort)).toEqual(FROM_BACKEND);
				expect(await toService('A')).toEqual({ src: x.a, sport: servicePort, dport: x.backend });
				expect(await toBackend('A')).toEqual({ src: x.a, sport: directPort, dport: x.backend });
			}
		}

		it('keeps both apart when the service was first', async () => {
			const { sport: servicePort } = await toService();
			const { sport: directPort } = await toBackend();
			expect(servicePort).toBe(PORT);
			await expectBoth(servicePort, directPort);
			expect(await node.flows()).toHaveLength(3);
		});

		it('keeps both apart when the backend was first', async () => {
			const { sport: directPort } = await toBackend();
			const { sport: servicePort } = await toService();
			expect(directPort).toBe(PORT);
			await expectBoth(servicePort, directPort);
			expect(await node.flows()).toHaveLength(3);
		});

		const isTcp = x.protocol === 'tcp';
		it('is not forgotten early when neither server has said anything after its first answer', async () => {
			for (const open of [toService, toBackend]) {
				const { sport } = await open('S');
				await answer(sport, 'SA');
				await open('A');
			}
			const flows = await node.flows();
			const established = flows.filter(({ flags }) => flags & CtFlags.ESTABLISHED);
			expect([flows.length, established.length]).toEqual([3, isTcp ? 3 : 2]);
		});

		it('sends the first packet again by the same port', async () => {
			await toService();
			const first = await toBackend();
			expect(await toBackend()).toEqual(first);
			expect(await node.flows()).toHaveLength(3);
		});

		it('gives a flow of the service another port while the last one has left its entry to the backend', async () => {
			await toService();
			const { sport: directPort } = await toBackend();
			if (x.protocol === 'udp') return;
			await toService('R');
			const { sport: again } = await toService();
			expect(again).not.toBe(PORT);
			await expectBoth(again, directPort);
		});

		it('finds a port anew when the flow to the backend has been forgotten', async () => {
			await toService();
			const { sport: directPort } = await toBackend();
			const rows = await node.dataplane.entries(table);
			const port = Buffer.of(directPort >> 8, directPort & 0xff);
			for (const { key } of rows) if (Buffer.from(key).includes(port)) await node.dataplane.delete(table, key);
			expect(await node.flows()).toHaveLength(2);
			const { sport } = await toBackend();
			expect(sport).not.toBe(directPort);
			await expectBoth(PORT, sport);
		});

		/** What the client is told by an error of the backend about a packet from this port. */
		async function toldOf(sport: number): Promise<object> {
			const about = quoted(podFrame(POD_A, ip(x.a, x.b), l4(sport, x.backend, 'A'), PAYLOAD));
			const error = podFrame(
				POD_B,
				ip(x.b, x.a),
				x.family === 4 ? icmp({ type: 3, code: 3, rest: 0 }) : icmpv6({ type: 1, code: 4, rest: 0 }),
				raw(about),
			);
			const { quoted: told } = expectVerdict(error, await node.fromPod(POD_B, error), VERDICT.REDIRECT);
			if (told === undefined) throw new Error('nothing is quoted');
			const { src, dst } = layerOf(told, x.family === 4 ? 'ipv4' : 'ipv6');
			const { sport: from, dport } = layerOf(told, x.protocol);
			return { src, dst, sport: from, dport };
		}

		it("tells the client of errors about its packets with the client's own port", async () => {
			await toService();
			const { sport: directPort } = await toBackend();
			expect(await toldOf(directPort)).toEqual({ src: x.a, dst: x.b, sport: PORT, dport: x.backend });
			expect(await toldOf(PORT)).toEqual({ src: x.a, dst: x.vip, sport: PORT, dport: x.service });
		});

		it("tells the client of errors about its packets to the service with the client's own port", async () => {
			await toBackend();
			const { sport: servicePort } = await toService();
			expect(await toldOf(servicePort)).toEqual({ src: x.a, dst: x.vip, sport: PORT, dport: x.service });
			expect(await toldOf(PORT)).toEqual({ src: x.a, dst: x.b, sport: PORT, dport: x.backend });
		});
	},
);

describe.each(FAMILIES)('the end of one of them, IPv$family', (x) => {
	const fromA = (to: string, dport: number, flags: string) => {
		const sent = podFrame(POD_A, ip(x.a, to), tcp({ sport: PORT, dport, flags, seq: 1, ack: 1 }));
		return node.fromPod(POD_A, sent);
	};
	const closing = async () =>
		(await node.flows())
			.filter((flow) => flow.flags & CtFlags.CLOSING)
			.map((flow) => [flow.client.port === PORT, flow.server.address]);

	it('is not that of the other: RST to the backend', async () => {
		await fromA(x.vip, SERVICE.web, 'S');
		await fromA(x.b, BACKEND_PORT.web, 'S');
		await fromA(x.b, BACKEND_PORT.web, 'R');
		expect(await closing()).toEqual([[false, x.b]]);
	});

	it('is not that of the other: RST to the service', async () => {
		await fromA(x.vip, SERVICE.web, 'S');
		await fromA(x.b, BACKEND_PORT.web, 'S');
		await fromA(x.vip, SERVICE.web, 'R');
		expect((await closing()).sort()).toEqual(
			[
				[true, x.b],
				[true, x.vip],
			].sort(),
		);
		const got = await fromA(x.b, BACKEND_PORT.web, 'A');
		expect(got.verdict).toBe(VERDICT.REDIRECT);
	});

	it('does not let strangers use it', async () => {
		await fromA(x.vip, SERVICE.web, 'S');
		const sent = podFrame(POD_B, ip(x.a, x.b), tcp({ sport: PORT, dport: BACKEND_PORT.web, flags: 'S' }));
		expectDrop(sent, await node.fromPod(POD_B, sent), DropReason.INVALID_SOURCE);
	});
});
