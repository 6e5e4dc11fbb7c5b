/**
 * A kernel made of Maps: write log, seeded faults, capacity limits. Shared arrays are real memory, so the code under
 * test writes them as it would write the kernel's.
 */
import type { Kernel, MapName, SharedMapName } from '../../agent/reconcile/kernel.ts';
import { SHARED_STRIDE } from '../../agent/reconcile/kernel.ts';

export interface FakeKernelOptions {
	/** Entries per map; defaults are small so that tests meet the limits. */
	readonly capacity?: Partial<Record<MapName, number>>;
	/** Called before each write system call; returning a code (e.g. 'EPERM') makes it fail. */
	readonly fault?: (call: FakeCall) => string | undefined;
}

export interface FakeCall {
	readonly call: 'set' | 'delete' | 'batch' | 'barrier';
	readonly map: MapName | '';
	readonly entries: number;
}

const DEFAULT_CAPACITY: Readonly<Record<MapName, number>> = {
	vip_filter: 1024,
	services: 4096,
	slots: 4096,
	backends: 2048,
	conns: 2048,
	sources: 256,
	affinity: 64,
	sock_rev: 64,
	ct4: 64,
	ctfull: 1,
	hostsvc: 1,
	ctfull4: 64,
	ctfull6: 64,
	ct6: 64,
	frags: 64,
	ipcache: 4096,
	cidrs: 4096,
	endpoints: 64,
	ifaces: 64,
	nodes: 64,
	uplinks: 8,
	xdp_nodes: 64,
	ports: 2048,
	inside: 1024,
	xdp_svc: 64,
	dsr_flows: 64,
	drops: 32,
	metrics: 16,
	limits: 32,
	events: 1,
	runtime: 1,
	resolvers: 64,
	dns: 1,
	policy: 1024,
	policyset: 64,
	ranges: 4096,
	denied: 64,
};

/** ARRAY maps that system calls read and write too: every element exists, deletion is refused. */
const ARRAY_VALUE_SIZE: Partial<Record<MapName, number>> = {
	nodes: 56,
	uplinks: 40,
	xdp_nodes: 64,
	runtime: 16,
	dns: 8,
	conns: 4,
};
const LPM: readonly MapName[] = ['cidrs', 'sources'];

/** A failed system call as the addon reports it. */
export class FakeErrno extends Error {
	readonly code: string;
	constructor(code: string) {
		super(`${code} from the fake kernel`);
		this.code = code;
	}
}

export class FakeKernel implements Kernel {
	/** Every system call that writes or waits, in order. */
	readonly log: FakeCall[] = [];
	readonly #capacity: Readonly<Record<MapName, number>>;
	readonly #maps = new Map<MapName, Map<string, Uint8Array>>();
	readonly #shared: Readonly<Record<SharedMapName, DataView>>;
	fault: ((call: FakeCall) => string | undefined) | undefined;

	constructor(options: FakeKernelOptions = {}) {
		this.#capacity = { ...DEFAULT_CAPACITY, ...options.capacity };
		this.fault = options.fault;
		const memory = (map: SharedMapName): DataView =>
			new DataView(new ArrayBuffer(this.#capacity[map] * SHARED_STRIDE[map]));
		this.#shared = {
			vip_filter: memory('vip_filter'),
			slots: memory('slots'),
			backends: memory('backends'),
			ports: memory('ports'),
			inside: memory('inside'),
			xdp_svc: memory('xdp_svc'),
			policyset: memory('policyset'),
			ranges: memory('ranges'),
			endpoints: memory('endpoints'),
			denied: memory('denied'),
		};
	}

	/** System calls of a kind since the log was cleared. */
	count(call: FakeCall['call']): number {
		return this.log.filter((each) => each.call === call).length;
	}

	#enter(call: FakeCall['call'], map: MapName | '', entries: number): void {
		const record = { call, map, entries };
		this.log.push(record);
		const code = this.fault?.(record);
		if (code !== undefined) throw new FakeErrno(code);
	}

	#entries(map: MapName): Map<string, Uint8Array> {
		let entries = this.#maps.get(map);
		if (entries === undefined) {
			entries = new Map();
			this.#maps.set(map, entries);
		}
		return entries;
	}

	/** The row of an array that is written both through shared memory and by system calls; undefined = it is no such array. */
	#row(map: MapName, key: Uint8Array): Uint8Array | undefined {
		if (map !== 'endpoints') return undefined;
		if (indexOf(key) >= this.#capacity[map]) throw new FakeErrno('E2BIG');
		const { buffer } = this.#shared[map];
		return new Uint8Array(buffer, indexOf(key) * SHARED_STRIDE[map], SHARED_STRIDE[map]);
	}

	#put(map: MapName, key: Uint8Array, value: Uint8Array): void {
		const row = this.#row(map, key);
		if (row !== undefined) {
			if (value.length !== row.length) throw new FakeErrno('EINVAL');
			row.set(value);
			return;
		}
		const entries = this.#entries(map);
		const name = hex(key);
		const arraySize = ARRAY_VALUE_SIZE[map];
		if (arraySize !== undefined) {
			if (value.length !== arraySize) throw new FakeErrno('EINVAL');
			if (indexOf(key) >= this.#capacity[map]) throw new FakeErrno('E2BIG');
		} else if (!entries.has(name) && entries.size >= this.#capacity[map]) {
			throw new FakeErrno(LPM.includes(map) ? 'ENOSPC' : 'E2BIG');
		}
		entries.set(name, value.slice());
	}

	mapGet(map: MapName, key: Uint8Array): Uint8Array | undefined {
		if (map === 'endpoints') return indexOf(key) < this.#capacity[map] ? this.#row(map, key)?.slice() : undefined;
		const value = this.#entries(map).get(hex(key));
		if (value !== undefined) return value.slice();
		const size = ARRAY_VALUE_SIZE[map];
		return size !== undefined && indexOf(key) < this.#capacity[map] ? new Uint8Array(size) : undefined;
	}

	mapSet(map: MapName, key: Uint8Array, value: Uint8Array): void {
		this.#enter('set', map, 1);
		this.#put(map, key, value);
	}

	mapDelete(map: MapName, key: Uint8Array): boolean {
		this.#enter('delete', map, 1);
		if (map === 'endpoints' || ARRAY_VALUE_SIZE[map] !== undefined) throw new FakeErrno('EINVAL');
		return this.#entries(map).delete(hex(key));
	}

	*mapEntries(map: MapName): Iterable<readonly [Uint8Array, Uint8Array]> {
		const size = map === 'endpoints' ? SHARED_STRIDE[map] : ARRAY_VALUE_SIZE[map];
		if (size === undefined) {
			for (const [key, value] of this.#entries(map)) yield [unhex(key), value.slice()];
			return;
		}
		for (let index = 0; index < this.#capacity[map]; index++) {
			const key = new Uint8Array(new Uint32Array([index]).buffer);
			yield [key, this.mapGet(map, key) ?? new Uint8Array(size)];
		}
	}

	mapCapacity(map: MapName): number {
		return this.#capacity[map];
	}

	async mapSetBatch(map: MapName, keys: Uint8Array, values: Uint8Array): Promise<number> {
		const keySize = { services: 20, ipcache: 16, cidrs: 20, sources: 24 }[map as string];
		if (keySize === undefined) throw new FakeErrno('ENOTSUP');
		const count = keys.length / keySize;
		const valueSize = values.length / count;
		this.#enter('batch', map, count);
		for (let i = 0; i < count; i++) {
			try {
				this.#put(
					map,
					keys.subarray(i * keySize, (i + 1) * keySize),
					values.subarray(i * valueSize, (i + 1) * valueSize),
				);
			} catch {
				return i;
			}
		}
		return count;
	}

	shared(map: SharedMapName): DataView {
		return this.#shared[map];
	}

	barrier(): void {
		this.#enter('barrier', '', 0);
	}
}

function indexOf(key: Uint8Array): number {
	return new DataView(key.buffer, key.byteOffset).getUint32(0, true);
}

function hex(bytes: Uint8Array): string {
	return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function unhex(text: string): Uint8Array {
	return new Uint8Array(Buffer.from(text, 'latin1'));
}
