/**
 * Runs inside a world's network namespace: loads the programs, fills the maps, runs packets. Answers requests of the
 * parent process (../dataplane.ts) over the IPC channel; ends when the channel closes.
 */
import { DropCounter } from '../../../native/abi/generated.ts';
import { BpfLink, RingBuffer } from '../../../native/index.ts';
import { serve } from '../netns-process.ts';
import { makeDevices } from './devices.ts';
import { Objects } from './objects.ts';
import type { Ifindexes } from './rows.ts';
import { flat, ifindexOf, worldConfig, worldRows, xdpNodeRows } from './rows.ts';
import type { Row, RunOptions, RunResult, WorldFixture } from './types.ts';

const SKB_SIZE = 192;
/** BPF_PROG_TYPE_XDP */
const XDP_PROGRAM = 6;
/** struct xdp_md */
const XDP_MD_SIZE = 24;
/** An Ethernet and an IPv6 header: shorter frames are refused by BPF_PROG_TEST_RUN of newer kernels. */
const LONG_ENOUGH = 54;
/** Offsets in struct __sk_buff (include/uapi/linux/bpf.h); BPF_PROG_TEST_RUN lets these be set. */
const SKB = { MARK: 8, INGRESS_IFINDEX: 36, IFINDEX: 40, GSO_SEGS: 164, GSO_SIZE: 176 } as const;

function droppedPackets(perCpu: Uint8Array): number {
	const stride = Math.ceil(DropCounter.size / 8) * 8;
	let packets = 0n;
	for (let at = 0; at + stride <= perCpu.length; at += stride) {
		packets += DropCounter.decode(perCpu, at).packets;
	}
	return Number(packets);
}

/** Looks without a new event after which all have come: the thread that reads them waits for its turn on a busy machine. */
const QUIET_LOOKS = 2 * Number(process.env.TEST_PATIENCE ?? 1);

export class Server {
	readonly #devices: Ifindexes;
	readonly #objects: Objects;
	readonly #ring: RingBuffer | undefined;
	#events: Uint8Array[] = [];
	readonly #xdpLinks: BpfLink[] = [];
	readonly #dropped = new Map<number, number>();
	#lastDrops = Buffer.alloc(0);

	private constructor(devices: Ifindexes, objects: Objects) {
		this.#devices = devices;
		this.#objects = objects;
		const events = objects.maps.get('events');
		this.#ring = events && new RingBuffer(events, (records) => this.#events.push(...records), { pollMs: 5 });
	}

	static async start(world: WorldFixture, objects: readonly string[]): Promise<Server> {
		const devices = makeDevices(world);
		const loaded = await Objects.load({
			objects,
			config: worldConfig(world, devices),
			...(world.mapSizes ? { mapSizes: world.mapSizes } : {}),
		});
		for (const [map, rows] of Object.entries(worldRows(world, devices))) {
			const { keys, values } = flat(rows);
			if (rows.length > 0 && loaded.maps.has(map)) {
				await loaded.map(map).updateBatch(keys, values);
			}
		}
		const clock = loaded.programs.get('clock_jiffies');
		if (clock) {
			const now = clock.testRun({ data: new Uint8Array(64) }).retval >>> 0;
			const { keys, values } = flat(xdpNodeRows(world, now));
			await loaded.map('xdp_nodes').updateBatch(keys, values);
		}
		return new Server(devices, loaded);
	}

	programNames(): string[] {
		return [...this.#objects.programs.keys()];
	}

	devices(): Ifindexes {
		return this.#devices;
	}

	entries(map: string): Row[] {
		return this.#objects
			.map(map)
			.entries()
			.map(([key, value]) => ({ key, value }));
	}

	set(map: string, key: Uint8Array, value: Uint8Array): void {
		this.#objects.map(map).set(key, value);
	}

	delete(map: string, key: Uint8Array): boolean {
		return this.#objects.map(map).delete(key);
	}

	setProgram(map: string, index: number, program: string): void {
		this.#objects.map(map).setProgram(index, this.#objects.program(program));
	}

	/** Removes every entry of a hash map. */
	clear(map: string): void {
		const target = this.#objects.map(map);
		for (const [key] of target.entries()) {
			target.delete(key);
		}
	}

	/** Records that have arrived since the last call, when no more come for several poll intervals. */
	async events(): Promise<Uint8Array[]> {
		let known = -1;
		for (let quiet = 0; quiet < QUIET_LOOKS; quiet++) {
			if (this.#events.length !== known) quiet = 0;
			known = this.#events.length;
			await new Promise((done) => setTimeout(done, 30));
		}
		const out = this.#events;
		this.#events = [];
		return out;
	}

	/** Packets counted per reason since the last call. */
	#newDrops(): Record<number, number> {
		const out: Record<number, number> = {};
		const entries = this.#objects.map('drops').entries();
		const now = Buffer.concat(entries.map(([, value]) => value));
		if (now.equals(this.#lastDrops)) {
			return out;
		}
		for (const [key, value] of entries) {
			const reason = new DataView(key.buffer, key.byteOffset).getUint32(0, true);
			const packets = droppedPackets(value);
			const difference = packets - (this.#dropped.get(reason) ?? 0);
			this.#dropped.set(reason, packets);
			if (difference !== 0) {
				out[reason] = difference;
			}
		}
		this.#lastDrops = now;
		return out;
	}

	/** struct xdp_md. Without one a run is on the loopback device, the only one whose queue XDP knows unless attachXdp() was called. */
	#xdpContext(length: number, device: string): Uint8Array {
		const md = new Uint8Array(XDP_MD_SIZE);
		const view = new DataView(md.buffer);
		view.setUint32(4, length, true);
		view.setUint32(12, ifindexOf(this.#devices, device), true);
		return md;
	}

	/** Attaches an XDP program, so that runs may be on this device. */
	attachXdp(program: string, device: string): void {
		const ifindex = ifindexOf(this.#devices, device);
		this.#xdpLinks.push(BpfLink.attachXdp(this.#objects.program(program), ifindex, 'native'));
	}

	#context(o: RunOptions): Uint8Array {
		const ctx = new Uint8Array(SKB_SIZE);
		const view = new DataView(ctx.buffer);
		view.setUint32(SKB.MARK, o.mark ?? 0, true);
		view.setUint32(SKB.IFINDEX, o.device ? ifindexOf(this.#devices, o.device) : 0, true);
		view.setUint32(SKB.INGRESS_IFINDEX, o.ingressDevice ? ifindexOf(this.#devices, o.ingressDevice) : 0, true);
		view.setUint32(SKB.GSO_SIZE, o.gsoSize ?? 0, true);
		view.setUint32(SKB.GSO_SEGS, o.gsoSegments ?? 0, true);
		return ctx;
	}

	run(program: string, packet: Uint8Array, o: RunOptions): RunResult {
		this.#newDrops();
		if (this.#objects.program(program).type === XDP_PROGRAM) {
			const ctx = o.device ? this.#xdpContext(packet.length, o.device) : undefined;
			const { retval, data } = this.#objects.program(program).testRun({ data: packet, ...(ctx && { ctx }) });
			return { verdict: retval, packet: data, mark: 0, drops: this.#newDrops() };
		}
		const result = this.#objects.program(program).testRun({ data: packet, ctx: this.#context(o) });
		const mark = new DataView(result.ctx.buffer, result.ctx.byteOffset).getUint32(SKB.MARK, true);
		return { verdict: result.retval | 0, packet: result.data, mark, drops: this.#newDrops() };
	}

	runMany(program: string, packets: readonly Uint8Array[], o: RunOptions): RunResult[] {
		return packets.map((packet) => this.run(program, packet, o));
	}

	/**
	 * As runMany, for packets of any length: `driver` gets them padded to LONG_ENOUGH with the real length as mark, and cuts
	 * them before it calls the program under test.
	 */
	runShortened(driver: string, packets: readonly Uint8Array[], o: RunOptions): RunResult[] {
		return packets.map((packet) => {
			const padded = new Uint8Array(Math.max(packet.length, LONG_ENOUGH));
			padded.set(packet);
			return this.run(driver, padded, { ...o, mark: packet.length });
		});
	}

	close(): void {
		for (const link of this.#xdpLinks) link.close();
		this.#ring?.close();
		this.#objects.close();
	}
}

let server: Server | undefined;

async function handle(method: string, args: readonly unknown[]): Promise<unknown> {
	if (method === 'start') {
		const [world, objects] = args as [WorldFixture, readonly string[]];
		server = await Server.start(world, objects);
		return undefined;
	}
	if (!server) {
		throw new Error('the world has not been started');
	}
	const called = server[method as keyof Server] as (...args: readonly unknown[]) => unknown;
	return await called.apply(server, [...args]);
}

serve(handle, () => server?.close());
