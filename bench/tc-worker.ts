/**
 * Runs in a namespace of its own (tc.ts): loads the node's programs and the driver, and measures scenarios on request.
 */
import { Ct4Entry, Ct4Key, CtFlags } from '../native/abi/generated.ts';
import { RingBuffer } from '../native/index.ts';
import { makeDevices } from '../test/lib/dataplane/devices.ts';
import { Objects } from '../test/lib/dataplane/objects.ts';
import type { Ifindexes } from '../test/lib/dataplane/rows.ts';
import { flat, ifindexOf, indexKey, worldConfig, worldRows } from '../test/lib/dataplane/rows.ts';
import { serve } from '../test/lib/netns-process.ts';
import { Random } from '../test/lib/packet/mutate.ts';
import type { Layer } from '../test/lib/packet.ts';
import { addressText, build, eth, ip, layerOf, parse, raw, tcp, u32 } from '../test/lib/packet.ts';
import { establish } from './establish.ts';
import { median } from './figures.ts';
import { enforce, writePolicy } from './policy-rows.ts';
import type { BackendPlace, Family } from './tc-world.ts';
import {
	benchWorld,
	CLIENT,
	NODE_ADDRESS,
	OUTSIDE,
	pod,
	SERVICE_PORT,
	serviceAddress,
	servicesOf,
} from './tc-world.ts';

export interface Scenario {
	readonly kind: 'established' | 'new' | 'reply' | 'podtopod' | 'passthrough' | 'policy-first' | 'policy-established';
	readonly family: Family;
	readonly services: number;
	/** A power of two. */
	readonly flows: number;
	readonly backends?: BackendPlace;
	/**
	 * Packets visit the flows in another order than they were opened in: entries made in turn lie in turn in memory, and the
	 * CPU fetches ahead.
	 */
	readonly shuffled?: boolean;
	/** Rules of the client's egress; only for kinds of policy, whose `emptyNs` is the same without policy. */
	readonly rules?: number;
}

/** Nanoseconds per packet of one run each. */
export interface Sample {
	readonly programNs: number;
	readonly emptyNs: number;
	readonly note: string;
}

interface Prepared {
	readonly feed: Feed;
	/** Every packet opens a flow. */
	readonly opens: boolean;
	readonly verdict: number;
	readonly rewritten: 'source' | 'destination' | undefined;
	/** Compared with and without policy. */
	readonly policy?: boolean;
}

interface Feed {
	readonly program: string;
	readonly device: string;
	readonly frames: readonly Uint8Array[];
}

const FRAME_BYTES = 80;
const CLIENT_PORTS = 64_000;
const REPEAT = 1 << 17;
/** New flows per call: their events fit into the ring buffer, which is read between calls. */
const NEW_CHUNK = 4096;
const CTX_IFINDEX = 40;
const CTX_INGRESS_IFINDEX = 36;
const CTX_SIZE = 192;
/** Comparisons of one sample with policy. */
const POLICY_ROUNDS = 15;
const REDIRECT = 7;
const NEXT = -1;

const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

function frame(layers: readonly Layer[]): Uint8Array {
	const head = build(...layers);
	return build(...layers, raw(new Uint8Array(FRAME_BYTES - head.length)));
}

/** The same packets in another, always the same order (Fisher–Yates). */
function shuffled(feed: Feed): Feed {
	const random = new Random(1);
	const frames = [...feed.frames];
	for (let i = frames.length - 1; i > 0; i--) {
		const other = random.next(i + 1);
		const [a, b] = [frames[i], frames[other]];
		if (a && b) {
			frames[i] = b;
			frames[other] = a;
		}
	}
	return { ...feed, frames };
}

class Worker {
	readonly #devices: Ifindexes;
	readonly #objects: Objects;
	readonly #ring: RingBuffer;
	readonly #prepared = new Map<string, Prepared>();

	private constructor(devices: Ifindexes, objects: Objects) {
		this.#devices = devices;
		this.#objects = objects;
		this.#ring = new RingBuffer(objects.map('events'), () => undefined, { pollMs: 5, maxQueued: 1024 });
	}

	static async start(driver: string, services: number): Promise<Worker> {
		const world = benchWorld([
			...servicesOf(4, 'local', services),
			...servicesOf(4, 'onepod', services),
			...(services === 1
				? [...servicesOf(6, 'local', 1), ...servicesOf(4, 'tunnel', 1), ...servicesOf(4, 'direct', 1)]
				: []),
		]);
		const devices = makeDevices(world);
		const objects = await Objects.load({
			objects: ['pod', 'node', driver],
			config: worldConfig(world, devices),
			mapSizes: world.mapSizes ?? {},
		});
		for (const [map, rows] of Object.entries(worldRows(world, devices))) {
			const { keys, values } = flat(rows);
			if (rows.length > 0 && objects.maps.has(map)) {
				await objects.map(map).updateBatch(keys, values);
			}
		}
		const worker = new Worker(devices, objects);
		worker.#target(1, 'bench_empty');
		return worker;
	}

	#target(slot: number, program: string): void {
		this.#objects.map('bench_targets').setProgram(slot, this.#objects.program(program));
	}

	/** Writes the frames; the driver takes them in turn. */
	async #load(feed: Feed): Promise<void> {
		const rows = feed.frames.map((value, i) => ({ key: indexKey(i), value }));
		const { keys, values } = flat(rows);
		await this.#objects.map('bench_frames').updateBatch(keys, values);
		this.#target(0, feed.program);
	}

	/** Average ns per packet over `repeat` packets, starting with frame `first`. */
	#run(feed: Feed, slot: number, repeat: number, first = 0): number {
		const state = new Uint8Array(16);
		const view = new DataView(state.buffer);
		view.setUint32(0, first, true);
		view.setUint32(4, feed.frames.length - 1, true);
		view.setUint32(8, slot, true);
		this.#objects.map('bench_state').set(indexKey(0), state);
		return this.#test(feed, repeat).durationNs;
	}

	#test(feed: Feed, repeat: number): { retval: number; data: Uint8Array; durationNs: number } {
		const ctx = new Uint8Array(CTX_SIZE);
		const ifindex = ifindexOf(this.#devices, feed.device);
		new DataView(ctx.buffer).setUint32(CTX_IFINDEX, ifindex, true);
		new DataView(ctx.buffer).setUint32(CTX_INGRESS_IFINDEX, ifindex, true);
		const data = feed.frames[0] ?? new Uint8Array(FRAME_BYTES);
		const program = this.#objects.program('bench_driver');
		return program.testRun({ data, ctx, repeat, dataOutSize: 2048 });
	}

	/** Runs one packet and refuses to measure a program that does something else than expected. */
	#check({ feed, verdict, rewritten }: Prepared): void {
		this.#run(feed, 0, 1);
		const got = this.#test(feed, 1);
		const sent = ipOf(feed.frames[0] ?? new Uint8Array());
		const out = ipOf(got.data);
		const changed = out.src !== sent.src ? 'source' : out.dst !== sent.dst ? 'destination' : undefined;
		if ((got.retval | 0) !== verdict || changed !== rewritten) {
			throw new Error(
				`${feed.program}: verdict ${got.retval | 0} (expected ${verdict}), rewrote ${changed ?? 'nothing'}`,
			);
		}
	}

	async #clearFlows(): Promise<void> {
		for (const name of ['ct4', 'ct6']) {
			const { count, keys } = await this.#objects.map(name).dumpAsync();
			if (count > 0) {
				await this.#objects.map(name).deleteBatch(keys);
			}
		}
	}

	/** Opens the flows of a scenario once; their entries stay. */
	async prepare(id: string, scenario: Scenario): Promise<void> {
		const prepared = await this.#prepare(scenario);
		this.#prepared.set(id, scenario.shuffled ? { ...prepared, feed: shuffled(prepared.feed) } : prepared);
	}

	async #prepare(scenario: Scenario): Promise<Prepared> {
		switch (scenario.kind) {
			case 'new':
				return { feed: clientFeed(scenario, 'S'), opens: true, verdict: REDIRECT, rewritten: 'destination' };
			case 'passthrough':
				return { feed: passFeed(scenario), opens: false, verdict: NEXT, rewritten: undefined };
			case 'podtopod':
				await this.#warm(podFeed(scenario, 'S'));
				return { feed: podFeed(scenario, 'A'), opens: false, verdict: REDIRECT, rewritten: undefined };
			case 'established':
				await this.#warm(clientFeed(scenario, 'S'));
				return { feed: clientFeed(scenario, 'A'), opens: false, verdict: REDIRECT, rewritten: 'destination' };
			case 'policy-first':
				await writePolicy(this.#objects, scenario.rules ?? 0, pod(2).ipv4 ?? '');
				return { feed: podFeed(scenario, 'S'), opens: true, verdict: REDIRECT, rewritten: undefined, policy: true };
			case 'policy-established':
				await writePolicy(this.#objects, scenario.rules ?? 0, pod(2).ipv4 ?? '');
				await this.#warm(podFeed(scenario, 'S'));
				return { feed: podFeed(scenario, 'A'), opens: false, verdict: REDIRECT, rewritten: undefined, policy: true };
			case 'reply': {
				const open = clientFeed({ ...scenario, backends: 'onepod' }, 'S');
				await this.#warm(open);
				return { feed: this.#replyFeed(open), opens: false, verdict: REDIRECT, rewritten: 'source' };
			}
		}
	}

	/** One interleaved pair of runs. */
	async sample(id: string): Promise<Sample> {
		const prepared = this.#prepared.get(id);
		if (!prepared) {
			throw new Error(`${id} was not prepared`);
		}
		await this.#load(prepared.feed);
		if (prepared.policy) return this.#samplePolicy(prepared);
		if (prepared.opens) {
			await this.#clearFlows();
			return this.#sampleNew(prepared.feed);
		}
		return this.#steady(prepared);
	}

	async #warm(feed: Feed): Promise<void> {
		await this.#load(feed);
		for (let at = 0; at < feed.frames.length; at += NEW_CHUNK) {
			this.#run(feed, 0, Math.min(NEW_CHUNK, feed.frames.length - at), at);
			await sleep(5);
		}
		await establish(this.#objects);
	}

	#steady(prepared: Prepared): Sample {
		this.#check(prepared);
		const emptyNs = this.#run(prepared.feed, 1, REPEAT);
		const programNs = this.#run(prepared.feed, 0, REPEAT);
		return { programNs, emptyNs, note: '' };
	}

	/**
	 * With and without policy in turn; nothing but the client's set differs. The median of the differences between neighbours: a first
	 * packet takes ten times as long as its policy, and what disturbs one run must not count for all.
	 */
	async #samplePolicy(prepared: Prepared): Promise<Sample> {
		const without: number[] = [];
		const above: number[] = [];
		for (let round = 0; round < POLICY_ROUNDS; round++) {
			const took = { with: 0, without: 0 };
			for (const which of round % 2 === 0 ? (['without', 'with'] as const) : (['with', 'without'] as const)) {
				enforce(this.#objects, which === 'with');
				if (prepared.opens) await this.#clearFlows();
				else this.#check(prepared);
				took[which] = this.#run(prepared.feed, 0, prepared.opens ? prepared.feed.frames.length : REPEAT);
				await sleep(15);
			}
			without.push(took.without);
			above.push(took.with - took.without);
		}
		const ct = this.#objects.map('ct4');
		const { count } = await ct.dumpAsync();
		if (count < prepared.feed.frames.length)
			throw new Error(`${count} flows of ${prepared.feed.frames.length} were made`);
		const emptyNs = median(without);
		return { programNs: emptyNs + median(above), emptyNs, note: '' };
	}

	async #sampleNew(feed: Feed): Promise<Sample> {
		let programNs = 0;
		let emptyNs = 0;
		let chunks = 0;
		for (let at = 0; at < feed.frames.length; at += NEW_CHUNK) {
			emptyNs += this.#run(feed, 1, NEW_CHUNK, at);
			programNs += this.#run(feed, 0, NEW_CHUNK, at);
			chunks++;
			await sleep(15);
		}
		const ct = this.#objects.map('ct4');
		const { count } = await ct.dumpAsync();
		const full = ((100 * count) / ct.info.maxEntries).toFixed(0);
		return {
			programNs: programNs / chunks,
			emptyNs: emptyNs / chunks,
			note: `${count} entries at the end, ${full} % full, ${(count / feed.frames.length).toFixed(2)} per flow`,
		};
	}

	/** ACKs of the backends over IPv4, as the conntrack entries of the flows that `open` made say. */
	#replyFeed(open: Feed): Feed {
		const services = new Set(open.frames.map((f) => ipOf(f).dst));
		const frames: Uint8Array[] = [];
		const backend = pod(2);
		for (const [key, value] of this.#objects.map('ct4').entries()) {
			const k = Ct4Key.decode(key);
			const e = Ct4Entry.decode(value);
			if (!(e.flags & CtFlags.SVC_REPLY) || !services.has(addressText(u32(e.xlateAddr)))) {
				continue;
			}
			const initiatorHi = (e.flags & CtFlags.INITIATOR_IS_HI) !== 0;
			const [client, clientPort] = initiatorHi ? [k.hi, k.hiPort] : [k.lo, k.loPort];
			const [server, serverPort] = initiatorHi ? [k.lo, k.loPort] : [k.hi, k.hiPort];
			frames.push(
				frame([
					eth({ src: backend.mac, dst: backend.hostMac }),
					ip(addressText(u32(server)), addressText(u32(client))),
					tcp({ sport: serverPort, dport: clientPort, flags: 'A', seq: 1, ack: 1 }),
				]),
			);
		}
		if (frames.length < open.frames.length) {
			throw new Error(`${frames.length} flows have an entry, ${open.frames.length} were made`);
		}
		return { program: 'from_pod', device: backend.device, frames: frames.slice(0, open.frames.length) };
	}

	close(): void {
		this.#ring.close();
		this.#objects.close();
	}
}

function ipOf(bytes: Uint8Array): { src: string; dst: string } {
	const parsed = parse(bytes);
	if (parsed.problems.length > 0) {
		throw new Error(`packet is wrong: ${parsed.problems.join('; ')}`);
	}
	return parsed.layers.some((l) => l.kind === 'ipv4') ? layerOf(parsed, 'ipv4') : layerOf(parsed, 'ipv6');
}

/**
 * Each flow has a source port of its own, as those of a client that the kernel gives ports: two flows from one port that meet at a backend
 * would need another port there, which is another, longer path.
 */
function clientFeed(scenario: Scenario, flags: string): Feed {
	const place = scenario.backends ?? 'local';
	const source = scenario.family === 4 ? CLIENT.ipv4 : CLIENT.ipv6;
	const frames = Array.from({ length: scenario.flows }, (_, i) =>
		frame([
			eth({ src: CLIENT.mac, dst: pod(1).hostMac }),
			ip(source, serviceAddress(scenario.family, place, i % scenario.services)),
			tcp({
				sport: 1024 + (i % CLIENT_PORTS),
				dport: SERVICE_PORT,
				flags,
				seq: 1,
				ack: flags === 'S' ? 0 : 1,
			}),
		]),
	);
	return { program: 'from_pod', device: CLIENT.device, frames };
}

function podFeed(scenario: Scenario, flags: string): Feed {
	const [source, target] = scenario.family === 4 ? [CLIENT.ipv4, pod(2).ipv4] : [CLIENT.ipv6, pod(2).ipv6];
	const frames = Array.from({ length: scenario.flows }, (_, i) =>
		frame([
			eth({ src: CLIENT.mac, dst: pod(1).hostMac }),
			ip(source, target ?? ''),
			tcp({ sport: 1024 + i, dport: 8080, flags, seq: 1, ack: flags === 'S' ? 0 : 1 }),
		]),
	);
	return { program: 'from_pod', device: CLIENT.device, frames };
}

function passFeed(scenario: Scenario): Feed {
	const [source, target] =
		scenario.family === 4 ? [OUTSIDE.ipv4, NODE_ADDRESS.ipv4] : [OUTSIDE.ipv6, NODE_ADDRESS.ipv6];
	const frames = Array.from({ length: scenario.flows }, (_, i) =>
		frame([
			eth({ src: OUTSIDE.mac, dst: '02:00:00:00:50:01' }),
			ip(source, target),
			tcp({ sport: 1024 + i, dport: 22, flags: 'A', seq: 1, ack: 1 }),
		]),
	);
	return { program: 'from_uplink', device: 'uplink', frames };
}

let worker: Worker | undefined;

async function handle(method: string, args: readonly unknown[]): Promise<unknown> {
	if (method === 'start') {
		worker = await Worker.start(args[0] as string, args[1] as number);
		return undefined;
	}
	if (!worker) {
		throw new Error('the worker has not been started');
	}
	return method === 'prepare'
		? await worker.prepare(args[0] as string, args[1] as Scenario)
		: await worker.sample(args[0] as string);
}

serve(handle, () => worker?.close());
