/** Rows of services: XDP must send every packet as it would without them. */
import { afterAll, describe, expect, it } from 'vitest';
import { XdpServiceLimits } from '../../native/abi/generated.ts';
import { worldRows } from '../lib/dataplane/rows.ts';
import type { RunResult, ServiceFixture, WorldFixture } from '../lib/dataplane.ts';
import { explain } from '../lib/dataplane.ts';
import { parse } from '../lib/packet.ts';
import { seededRandom } from '../lib/policy-fuzz.ts';
import { dsrTable, xdpServiceRows } from '../lib/xdp-service-rows.ts';
import { PROTO, TestNode, V4, V6, WORLD } from './world.ts';
import { fromClient, MODE, XDP, xdpWorld } from './xdp-world.ts';

const SERVICES = 60;
const FLOWS = 8;
const open: TestNode[] = [];
afterAll(() => Promise.all(open.map((node) => node.close())));

/** Sets of all sizes, at addresses of both families, with backends here, on two other nodes and nowhere. */
function randomServices(seed: number): ServiceFixture[] {
	const random = seededRandom(seed);
	return Array.from({ length: SERVICES }, (_, n) => {
		const x = n % 2 === 0 ? V4 : V6;
		const proto = random() < 0.3 ? PROTO.UDP : PROTO.TCP;
		const count = 1 + Math.floor(random() * (random() < 0.8 ? 12 : 40));
		const near = [x.b, x.pod2, x.pod3];
		const backends = Array.from({ length: count }, (_, i) => ({
			address: near[Math.floor(random() * 3)] ?? x.b,
			port: 1000 + i,
		}));
		const service = { address: x.external, port: 2000 + n, proto, external: true, backends };
		return { ...service, table: dsrTable(service) };
	});
}

/** Sets of both tables of which one has gained or lost backends, some of which are tables of another size. */
function randomChanges(seed: number): ServiceFixture[] {
	const random = seededRandom(seed);
	return randomServices(seed).map((service) => {
		const { backends, proto } = service;
		const kept = (): number[] => {
			const some = backends.flatMap((_, i) => (random() < 0.8 ? [i] : []));
			return some.length === 0 || random() < 0.5 ? backends.map((_, i) => i) : some;
		};
		const tableOf = (members: readonly number[]): number[] =>
			dsrTable({ backends: members.flatMap((i) => backends[i] ?? []), proto }).map((at) => members[at] ?? 0);
		return { ...service, table: tableOf(kept()), previous: tableOf(kept()) };
	});
}

interface Flow {
	readonly name: string;
	readonly packet: Uint8Array;
}

function flowsOf(services: readonly ServiceFixture[], seed: number): Flow[] {
	const random = seededRandom(seed);
	return services.flatMap(({ address, port, proto }) => {
		const x = address.includes(':') ? V6 : V4;
		return Array.from({ length: FLOWS }, (_, i) => {
			const sport = 1024 + Math.floor(random() * 60_000);
			const flags = random() < 0.5 ? 'S' : 'A';
			const packet = fromClient(x, { proto: proto === PROTO.TCP ? 'tcp' : 'udp', dport: port, sport, flags });
			return { name: `${address} ${port} flow ${i}`, packet };
		});
	});
}

async function startWith(
	mode: number,
	services: readonly ServiceFixture[],
): Promise<{ node: TestNode; world: WorldFixture }> {
	const world = xdpWorld(mode, {
		services: [...services],
		mapSizes: { ...WORLD.mapSizes, slots: 131_072, dsr_flows: 1024, xdp_svc: XdpServiceLimits.HOMES },
	});
	const node = await TestNode.start(world, ['xdp_lb', 'clock']);
	open.push(node);
	return { node, world };
}

const outcome = ({ verdict, packet }: RunResult): string => `${verdict} ${Buffer.from(packet).toString('hex')}`;

describe.each([
	['IP in IP', MODE.ipip],
	['VXLAN', MODE.vxlan],
])('rows of services, %s', (_, mode) => {
	it('change nothing about where packets go', { timeout: 120_000 }, async () => {
		const services = randomServices(mode + 7);
		const { node, world } = await startWith(mode, services);
		const flows = flowsOf(services, 11);
		const run = () =>
			node.dataplane.runMany(
				'xdp_lb',
				flows.map(({ packet }) => packet),
			);
		const without = await run();
		const rows = xdpServiceRows(services, worldRows(world, await node.dataplane.devices()));
		expect(rows.length).toBe(SERVICES);
		for (const { key, value } of rows) await node.dataplane.set('xdp_svc', key, value);
		// a wrong table cannot be seen: what rows decide is not looked up there
		for (const { key } of await node.dataplane.entries('services')) await node.dataplane.delete('services', key);
		const withRows = await run();
		let sent = 0;
		for (const [i, { name, packet }] of flows.entries()) {
			const [before, after] = [without[i], withRows[i]];
			if (before === undefined || after === undefined) throw new Error(name);
			if (before.verdict === XDP.TX) sent++;
			expect(outcome(after), `${name}\n${explain(packet, after)}`).toBe(outcome(before));
		}
		expect(sent).toBeGreaterThan(flows.length / 4);
		expect(parse(without.find(({ verdict }) => verdict === XDP.TX)?.packet ?? new Uint8Array()).problems).toEqual([]);
	});

	it('change nothing about where packets go while sets change', { timeout: 120_000 }, async () => {
		const services = randomChanges(mode + 70);
		const { node, world } = await startWith(mode, services);
		const flows = flowsOf(services, 12);
		const run = async (): Promise<{ outcomes: string[]; sent: number; remembered: number }> => {
			const results = await node.dataplane.runMany(
				'xdp_lb',
				flows.map(({ packet }) => packet),
			);
			const remembered = (await node.dataplane.entries('dsr_flows')).length;
			await node.dataplane.clear('dsr_flows');
			const sent = results.filter(({ verdict }) => verdict === XDP.TX).length;
			return { outcomes: results.map(outcome), sent, remembered };
		};
		const without = await run();
		for (const { key, value } of xdpServiceRows(services, worldRows(world, await node.dataplane.devices()))) {
			await node.dataplane.set('xdp_svc', key, value);
		}
		const withRows = await run();
		for (const [i, { name }] of flows.entries()) expect(withRows.outcomes[i], name).toBe(without.outcomes[i]);
		// flows on which tables disagree are remembered with rows as well
		expect(withRows.remembered).toBe(without.remembered);
		expect(without.remembered).toBeGreaterThan(10);
		for (const { key } of await node.dataplane.entries('services')) await node.dataplane.delete('services', key);
		const rowsOnly = await run();
		expect(rowsOnly.remembered).toBe(0);
		expect(rowsOnly.sent).toBeGreaterThan(flows.length / 20);
		expect(rowsOnly.sent).toBeLessThan(withRows.sent);
		for (const [i, { name }] of flows.entries()) {
			if (rowsOnly.outcomes[i]?.startsWith(`${XDP.TX} `)) expect(rowsOnly.outcomes[i], name).toBe(without.outcomes[i]);
		}
	});

	it('leave the packet to tc when the node has another generation', { timeout: 60_000 }, async () => {
		const services = randomServices(3).slice(0, 20);
		const { node, world } = await startWith(mode, services);
		const rows = xdpServiceRows(services, worldRows(world, await node.dataplane.devices()));
		for (const { key, value } of rows) {
			const view = new DataView(value.buffer, value.byteOffset);
			for (let at = 16; at < 64; at += 4) view.setUint32(at, view.getUint32(at, true) ^ (1 << 15), true);
			if (value[14] === 1) await node.dataplane.set('xdp_svc', key, value);
		}
		for (const { key } of await node.dataplane.entries('services')) await node.dataplane.delete('services', key);
		const got = await node.dataplane.runMany(
			'xdp_lb',
			flowsOf(services, 5).map(({ packet }) => packet),
		);
		expect(new Set(got.map(({ verdict }) => verdict))).toEqual(new Set([XDP.PASS]));
	});
});
