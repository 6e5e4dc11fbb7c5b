/**
 * Malformed packets through every program: thousands of seeded mutations. Whatever comes, the verdict is one of those
 * a program may give, every dropped packet has exactly one counted reason, correct packets leave correct, and a
 * pod never gets a packet out under another's address. A failure prints the seed and the packet.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DropReason } from '../../native/abi/generated.ts';
import { compileBpf } from '../../scripts/build-bpf.ts';
import type { RunOptions, RunResult } from '../lib/dataplane.ts';
import { explain, indexKey, NODE_OBJECTS, VERDICT } from '../lib/dataplane.ts';
import { mutate, Random, SHORTEST_FRAME, seedPackets } from '../lib/packet/mutate.ts';
import { addressBytes, hex, layerOf, parse } from '../lib/packet.ts';
import { FAMILIES, GATEWAY_MAC, POD_A, TestNode, UPLINK_MAC, V4, WORLD } from './world.ts';

const ROUNDS = 3000;
const SEED = 20_261_121;
const OVERLAY_MAC = '02:fa:00:00:00:01';
const ND_OR_MLD = new Set([131, 132, 133, 135, 143]);
/** Reasons whose packets are answered. */
const ANSWERED = new Set<number>([
	DropReason.NO_BACKEND,
	DropReason.UNDEFINED_PORT,
	DropReason.TTL_EXCEEDED,
	DropReason.FRAG_NEEDED,
]);

let node: TestNode;
let directory: string;
beforeAll(async () => {
	directory = await mkdtemp(join(tmpdir(), 'fairlead-test-'));
	const driver = join(directory, 'driver.bpf.o');
	await compileBpf({ source: resolve(import.meta.dirname, 'driver.bpf.c'), output: driver });
	node = await TestNode.start({ ...WORLD, config: { ...WORLD.config, snat_port_max: 61_999 } }, [
		...NODE_OBJECTS,
		driver,
	]);
	const from = new Uint8Array(24);
	from.set([...addressBytes(V4.node2)].reverse()); // host order
	await node.dataplane.set('driver_tunnel', indexKey(0), from);
});
afterAll(async () => {
	await node?.close();
	await rm(directory, { recursive: true, force: true });
});

interface Target {
	readonly program: string;
	readonly options: RunOptions;
	/** MACs of the frames, and who sends them: a pod here, a pod of node 2 or 3, the world, the node. */
	readonly src: string;
	readonly dst: string;
	readonly sender: 'a' | 'pod2' | 'pod3' | 'world' | 'node';
}

const UPLINK: RunOptions = { device: 'uplink', ingressDevice: 'uplink' };
const OVERLAY: RunOptions = { device: 'overlay', ingressDevice: 'overlay' };
const HOST: RunOptions = { device: 'fl_host', ingressDevice: 'fl_host' };
const POD: RunOptions = { device: POD_A.device, ingressDevice: POD_A.device };

const TARGETS: readonly Target[] = [
	{ program: 'from_pod', options: POD, src: POD_A.mac, dst: POD_A.hostMac, sender: 'a' },
	{ program: 'to_pod', options: { device: POD_A.device }, src: POD_A.hostMac, dst: POD_A.mac, sender: 'node' },
	{ program: 'from_uplink', options: UPLINK, src: GATEWAY_MAC, dst: UPLINK_MAC, sender: 'world' },
	{ program: 'from_uplink', options: UPLINK, src: GATEWAY_MAC, dst: UPLINK_MAC, sender: 'pod3' },
	{ program: 'from_overlay', options: OVERLAY, src: OVERLAY_MAC, dst: OVERLAY_MAC, sender: 'pod2' },
	{ program: 'to_overlay', options: { device: 'overlay' }, src: OVERLAY_MAC, dst: OVERLAY_MAC, sender: 'node' },
	{ program: 'from_host_device', options: HOST, src: OVERLAY_MAC, dst: OVERLAY_MAC, sender: 'node' },
	{ program: 'to_uplink', options: { device: 'uplink' }, src: UPLINK_MAC, dst: GATEWAY_MAC, sender: 'node' },
];

/** What these do not understand, the stack may judge. */
const LEAVES_TO_STACK = new Set(['from_uplink', 'to_uplink']);

/** Runs packets of any length, through the driver that cuts them to it. */
async function runAll(target: Target, packets: readonly Uint8Array[]): Promise<RunResult[]> {
	await node.dataplane.setProgram('driver_target', 0, target.program);
	const driver = target.program === 'from_overlay' ? 'decapsulated' : 'shortened';
	return await node.dataplane.runShortened(driver, packets, target.options);
}

/** What is wrong with a result; empty = nothing. */
function judge(sent: Uint8Array, got: RunResult): string[] {
	const wrong: string[] = [];
	const counted = Object.entries(got.drops);
	const total = counted.reduce((n, [, packets]) => n + packets, 0);
	if (![VERDICT.NEXT, VERDICT.DROP, VERDICT.REDIRECT].some((v) => v === got.verdict)) {
		wrong.push(`verdict ${got.verdict} is not allowed`);
	}
	if (got.verdict === VERDICT.DROP && total !== 1) {
		wrong.push(`dropped with ${total} counted reasons`);
	}
	if (got.verdict === VERDICT.NEXT && total !== 0) {
		wrong.push('left to the stack and counted as a drop');
	}
	if (got.verdict === VERDICT.REDIRECT && (total > 1 || counted.some(([reason]) => !ANSWERED.has(Number(reason))))) {
		wrong.push('redirected and counted for a reason that is not answered');
	}
	if (counted.some(([reason]) => Number(reason) <= DropReason.NONE || Number(reason) >= DropReason.MAX)) {
		wrong.push('counted outside the table of reasons');
	}
	if (got.verdict !== VERDICT.DROP && parse(sent).problems.length === 0) {
		wrong.push(...parse(got.packet).problems.map((problem) => `a correct packet became wrong: ${problem}`));
	}
	return wrong;
}

/** A pod's packet that goes anywhere must have the pod's address, or be neighbour discovery. */
function judgePod(sent: Uint8Array, got: RunResult): string[] {
	const parsed = parse(sent);
	const header = parsed.layers[1];
	if (got.verdict === VERDICT.DROP || Object.keys(got.drops).length > 0 || header?.kind === 'arp') {
		return [];
	}
	if (header?.kind !== 'ipv4' && header?.kind !== 'ipv6') {
		return ['a pod sent something that is neither IP nor ARP'];
	}
	const icmp = parsed.layers.find((l) => l.kind === 'icmpv6');
	if (icmp?.kind === 'icmpv6' && ND_OR_MLD.has(icmp.type)) {
		return [];
	}
	const ok = header.src === POD_A.ipv4 || header.src === POD_A.ipv6;
	return ok && layerOf(parsed, 'eth').src === POD_A.mac ? [] : [`a pod sent as ${header.src}`];
}

describe.each(TARGETS)('$program with packets of $sender', (target) => {
	it(`keeps its rules for ${ROUNDS} mutated packets`, { timeout: 60_000 }, async () => {
		const random = new Random(SEED);
		const seeds = FAMILIES.flatMap((x) =>
			seedPackets({ src: target.src, dst: target.dst }, x[target.sender], [
				x.a,
				x.b,
				x.vip,
				x.node,
				x.world,
				x.pod2,
				x.pod3,
				x.external,
			]),
		);
		const packets = Array.from({ length: ROUNDS }, (_, i) =>
			mutate(seeds[i % seeds.length] ?? new Uint8Array(SHORTEST_FRAME), random),
		);
		const results = await runAll(target, packets);
		const failures = results.flatMap((got, i) => {
			const sent = packets[i] ?? new Uint8Array();
			const wrong = [...judge(sent, got), ...(target.program === 'from_pod' ? judgePod(sent, got) : [])];
			return wrong.length > 0 ? [`packet ${i} ${hex(sent)}: ${wrong.join('; ')}\n${explain(sent, got)}`] : [];
		});
		expect(failures.slice(0, 3).join('\n\n'), `${failures.length} of ${ROUNDS} packets`).toBe('');
		const verdicts = new Set(results.map((r) => r.verdict));
		expect(verdicts.has(VERDICT.DROP) || LEAVES_TO_STACK.has(target.program), 'no packet was bad enough').toBe(true);
	});

	it('keeps its rules for every truncation of every kind of packet', { timeout: 60_000 }, async () => {
		const seeds = FAMILIES.flatMap((x) =>
			seedPackets({ src: target.src, dst: target.dst }, x[target.sender], [x.b, x.vip]),
		);
		const packets = seeds.flatMap((seed) =>
			Array.from({ length: Math.min(seed.length, 120) - SHORTEST_FRAME }, (_, i) => seed.slice(0, SHORTEST_FRAME + i)),
		);
		const results = await runAll(target, packets);
		const failures = results.flatMap((got, i) => {
			const sent = packets[i] ?? new Uint8Array();
			const wrong = judge(sent, got);
			return wrong.length > 0 ? [`${wrong.join('; ')}\n${explain(sent, got)}`] : [];
		});
		expect(failures.slice(0, 3).join('\n\n'), `${failures.length} of ${packets.length} packets`).toBe('');
	});
});
