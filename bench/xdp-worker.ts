/**
 * Runs in a namespace of its own (xdp.ts): loads the XDP program and the driver, and measures scenarios on request.
 */
import { NorthSouth } from '../native/abi/generated.ts';
import { BpfLink, RingBuffer } from '../native/index.ts';
import { makeDevices } from '../test/lib/dataplane/devices.ts';
import { Objects } from '../test/lib/dataplane/objects.ts';
import { flat, ifindexOf, indexKey, worldConfig, worldRows, xdpNodeRows } from '../test/lib/dataplane/rows.ts';
import { serve } from '../test/lib/netns-process.ts';
import type { Layer } from '../test/lib/packet.ts';
import { build, eth, ip, layerOf, parse, raw, tcp } from '../test/lib/packet.ts';
import { xdpServiceRows } from '../test/lib/xdp-service-rows.ts';
import { establish } from './establish.ts';
import { benchWorld, CLIENT, FOREIGN, NODE, SERVICE_PORT, serviceAddress, UPLINK_MAC } from './xdp-world.ts';

export type Mode = 'dsr' | 'snat';

export interface Scenario {
	readonly mode: Mode;
	/** To whom the packets go; client: a backend's replies to flows through the node. */
	readonly to: 'service' | 'foreign' | 'node' | 'client';
	/** TCP flags. */
	readonly flags: 'A' | 'S';
	readonly services: number;
	/** Of each service; see BenchOptions. */
	readonly backends?: 10 | 100;
	/** A power of two. */
	readonly flows: number;
	/** Each service has just got a backend. */
	readonly changing?: boolean;
}

/** Nanoseconds per packet of one run each. */
export interface Sample {
	readonly programNs: number;
	readonly emptyNs: number;
}

const FRAME_BYTES = 80;
const REPEAT = 1 << 17;
/** New flows per call: their events fit into the ring buffer, which is read between calls. */
const NEW_CHUNK = 4096;
const XDP_PASS = 2;
const XDP_TX = 3;
const CONFIG = { dsr: { north_south: NorthSouth.IPIP }, snat: { north_south: NorthSouth.SNAT } } as const;

/** struct xdp_md: size and offsets. */
const XDP_MD = { SIZE: 24, DATA_END: 4, INGRESS_IFINDEX: 12 } as const;

const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

function addressOf(scenario: Scenario, flow: number): string {
	switch (scenario.to) {
		case 'service':
		case 'client':
			return serviceAddress(flow % scenario.services);
		case 'foreign':
			return FOREIGN;
		case 'node':
			return NODE.ipv4;
	}
}

function frameOf(scenario: Scenario, flow: number): Uint8Array {
	const port = scenario.to === 'service' || scenario.to === 'client' ? SERVICE_PORT : 10_250;
	const layers = [
		eth({ src: CLIENT.mac, dst: UPLINK_MAC }),
		ip(CLIENT.ipv4, addressOf(scenario, flow)),
		tcp({
			sport: 1024 + Math.floor(flow / scenario.services),
			dport: port,
			flags: scenario.flags,
			seq: 1,
			ack: scenario.flags === 'S' ? 0 : 1,
		}),
	];
	return filled(...layers);
}

const filled = (...layers: readonly Layer[]): Uint8Array =>
	build(...layers, raw(new Uint8Array(FRAME_BYTES - build(...layers).length)));

/** What a backend answers to a packet that the program sent to it. */
function replyTo(sent: Uint8Array): Uint8Array {
	const parsed = parse(sent);
	const [link, { src, dst }, { sport, dport }] = [
		layerOf(parsed, 'eth'),
		layerOf(parsed, 'ipv4'),
		layerOf(parsed, 'tcp'),
	];
	return filled(
		eth({ src: link.dst, dst: UPLINK_MAC }),
		ip(dst, src),
		tcp({ sport: dport, dport: sport, flags: 'A', seq: 1, ack: 2 }),
	);
}

class Worker {
	readonly #objects: Objects;
	readonly #ring: RingBuffer;
	readonly #uplink: number;
	readonly #link: BpfLink;
	readonly #frames = new Map<string, { readonly scenario: Scenario; readonly frames: readonly Uint8Array[] }>();

	private constructor(objects: Objects, uplink: number) {
		this.#objects = objects;
		this.#uplink = uplink;
		this.#link = BpfLink.attachXdp(objects.program('xdp_lb'), uplink, 'native');
		this.#ring = new RingBuffer(objects.map('events'), () => undefined, { pollMs: 5, maxQueued: 1024 });
	}

	static async start(driver: string, { mode, services, backends, changing = false }: Scenario): Promise<Worker> {
		const world = benchWorld(services, { dsr: mode === 'dsr', changing, backends });
		const devices = makeDevices(world);
		const uplink = ifindexOf(devices, 'uplink');
		const config = { ...worldConfig(world, devices), ...CONFIG[mode] };
		const objects = await Objects.load({
			objects: ['xdp_lb', 'clock', driver],
			config,
			mapSizes: world.mapSizes ?? {},
		});
		const now = objects.program('clock_jiffies').testRun({ data: new Uint8Array(64) }).retval >>> 0;
		const made = worldRows(world, devices);
		const rows = {
			...made,
			xdp_nodes: xdpNodeRows(world, now, 4, uplink),
			xdp_svc: xdpServiceRows(world.services, made),
		};
		for (const [map, list] of Object.entries(rows)) {
			const { keys, values } = flat(list);
			if (list.length > 0 && objects.maps.has(map)) await objects.map(map).updateBatch(keys, values);
		}
		objects.map('bench_targets').setProgram(0, objects.program('xdp_lb'));
		objects.map('bench_targets').setProgram(1, objects.program('bench_empty'));
		return new Worker(objects, uplink);
	}

	/** Forgets flows and masquerade ports. */
	async #clear(): Promise<void> {
		for (const name of ['ct4']) {
			const { count, keys } = await this.#objects.map(name).dumpAsync();
			if (count > 0) await this.#objects.map(name).deleteBatch(keys);
		}
	}

	/** Sends each frame once, in portions whose events fit into the ring buffer. */
	async #once(frames: readonly Uint8Array[], slot: number): Promise<number> {
		let ns = 0;
		for (let at = 0; at < frames.length; at += NEW_CHUNK) {
			ns += this.#run(frames, slot, Math.min(NEW_CHUNK, frames.length), at).ns;
			await sleep(15);
		}
		return ns / Math.ceil(frames.length / NEW_CHUNK);
	}

	/** Flows of established packets with state are opened once. */
	async prepare(id: string, scenario: Scenario): Promise<void> {
		const frames = Array.from({ length: scenario.flows }, (_, flow) => frameOf(scenario, flow));
		this.#frames.set(id, { scenario, frames });
		if (scenario.mode === 'dsr' || scenario.flags === 'S') return;
		const opening = frames.map((_, flow) => frameOf({ ...scenario, flags: 'S' }, flow));
		await this.#load(opening);
		await this.#once(opening, 0);
		await establish(this.#objects);
		if (scenario.to === 'client') {
			await this.#load(frames);
			const replies = frames.map((_, flow) => replyTo(this.#run(frames, 0, 1, flow).data));
			this.#frames.set(id, { scenario, frames: replies });
		}
	}

	async #load(frames: readonly Uint8Array[]): Promise<void> {
		const { keys, values } = flat(frames.map((value, i) => ({ key: indexKey(i), value })));
		await this.#objects.map('bench_frames').updateBatch(keys, values);
	}

	#run(
		frames: readonly Uint8Array[],
		slot: number,
		repeat: number,
		first = 0,
	): { retval: number; data: Uint8Array; ns: number } {
		const state = new Uint8Array(16);
		const view = new DataView(state.buffer);
		view.setUint32(0, first, true);
		view.setUint32(4, frames.length - 1, true);
		view.setUint32(8, slot, true);
		this.#objects.map('bench_state').set(indexKey(0), state);
		const data = frames[0] ?? new Uint8Array(FRAME_BYTES);
		const md = new Uint8Array(XDP_MD.SIZE);
		const mdView = new DataView(md.buffer);
		mdView.setUint32(XDP_MD.DATA_END, data.length, true);
		mdView.setUint32(XDP_MD.INGRESS_IFINDEX, this.#uplink, true);
		const got = this.#objects.program('bench_driver').testRun({ data, repeat, dataOutSize: 2048, ctx: md });
		return { retval: got.retval, data: got.data, ns: got.durationNs };
	}

	/** One packet: refuses to measure a program that does something else than expected. */
	#check(id: string, scenario: Scenario, frames: readonly Uint8Array[]): void {
		const { retval, data } = this.#run(frames, 0, 1);
		const parsed = parse(data);
		const headers = parsed.layers.filter((layer) => layer.kind === 'ipv4').length;
		const ours = scenario.to === 'service' || scenario.to === 'client';
		const [verdict, wanted] = ours ? [XDP_TX, scenario.mode === 'dsr' ? 2 : 1] : [XDP_PASS, 1];
		if (retval !== verdict || headers !== wanted || parsed.problems.length > 0) {
			throw new Error(`${id}: verdict ${retval}, ${headers} IP headers, ${parsed.problems.join('; ')}`);
		}
	}

	/** One interleaved pair of runs. */
	async sample(id: string): Promise<Sample> {
		const prepared = this.#frames.get(id);
		if (!prepared) throw new Error(`${id} was not prepared`);
		const { scenario, frames } = prepared;
		await this.#load(frames);
		if (scenario.mode === 'snat' && scenario.flags === 'S') {
			await this.#clear();
			this.#check(id, scenario, frames);
			await this.#clear();
			return { emptyNs: await this.#once(frames, 1), programNs: await this.#once(frames, 0) };
		}
		this.#check(id, scenario, frames);
		const emptyNs = this.#run(frames, 1, REPEAT).ns;
		return { emptyNs, programNs: this.#run(frames, 0, REPEAT).ns };
	}

	close(): void {
		this.#link.close();
		this.#ring.close();
		this.#objects.close();
	}
}

let worker: Worker | undefined;

async function handle(method: string, args: readonly unknown[]): Promise<unknown> {
	if (method === 'start') {
		worker = await Worker.start(args[0] as string, args[1] as Scenario);
		return undefined;
	}
	if (!worker) throw new Error('the worker has not been started');
	if (method === 'prepare') return await worker.prepare(args[0] as string, args[1] as Scenario);
	return await worker.sample(args[0] as string);
}

serve(handle, () => worker?.close());
