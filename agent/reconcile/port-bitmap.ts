/**
 * Bits of the map ports: which ports of the node's own addresses are services'. XDP asks it before any hash look-up. Kept by
 * watching what is written to the map services, so that whoever writes there needs not know of it.
 */
import { L4Proto, PortBits, SvcKey, SvcScope } from '../../native/abi/generated.ts';
import type { Kernel } from './kernel.ts';
import { bytesKey } from './table.ts';

/** Bit of a port; undefined = a protocol that XDP does not serve. */
export function portBit(port: number, proto: number): number | undefined {
	if (proto === L4Proto.TCP) return PortBits.TCP + port;
	return proto === L4Proto.UDP ? PortBits.UDP + port : undefined;
}

export class PortBitmap {
	readonly #kernel: Kernel;
	readonly #words: Uint32Array;
	readonly #isLocal: (address: Uint8Array) => boolean;
	/** Keys that were counted. */
	readonly #counted = new Set<string>();
	readonly #references = new Uint32Array(PortBits.TOTAL);

	/**
	 * Counts what the map services has and makes the bitmap equal to it: bits are set before others are cleared.
	 * @param isLocal  whether 16 bytes are one of the node's own addresses
	 */
	constructor(kernel: Kernel, isLocal: (address: Uint8Array) => boolean) {
		this.#kernel = kernel;
		this.#isLocal = isLocal;
		const memory = kernel.shared('ports');
		this.#words = new Uint32Array(memory.buffer, memory.byteOffset, memory.byteLength / 4);
		for (const [key] of kernel.mapEntries('services')) this.#acquire(key);
		for (let bit = 0; bit < PortBits.TOTAL; bit++) if (this.#references[bit] === 0) this.#clear(bit);
	}

	/** The same kernel, whose writes to services are followed: a bit is set before its entry is there and cleared after it has gone. */
	follow(): Kernel {
		const kernel = this.#kernel;
		return {
			mapGet: (map, key) => kernel.mapGet(map, key),
			mapSet: (map, key, value) => {
				if (map === 'services') this.#acquire(key);
				kernel.mapSet(map, key, value);
			},
			mapDelete: (map, key) => {
				const found = kernel.mapDelete(map, key);
				if (map === 'services') this.#release(key);
				return found;
			},
			mapEntries: (map) => kernel.mapEntries(map),
			mapCapacity: (map) => kernel.mapCapacity(map),
			mapSetBatch: (map, keys, values) => {
				for (let at = 0; map === 'services' && at < keys.length; at += SvcKey.size) {
					this.#acquire(keys.subarray(at, at + SvcKey.size));
				}
				return kernel.mapSetBatch(map, keys, values);
			},
			shared: (map) => kernel.shared(map),
			barrier: () => kernel.barrier(),
		};
	}

	/** The bit of a services key that counts; undefined = none. */
	#bitOf(bytes: Uint8Array): number | undefined {
		const key = SvcKey.decode(bytes);
		return key.scope === SvcScope.EXTERNAL && this.#isLocal(key.addr) ? portBit(key.port, key.proto) : undefined;
	}

	#acquire(key: Uint8Array): void {
		const bit = this.#bitOf(key);
		const name = bytesKey(key);
		if (bit === undefined || this.#counted.has(name)) return;
		this.#counted.add(name);
		this.#references[bit] = (this.#references[bit] ?? 0) + 1;
		Atomics.or(this.#words, bit >>> 5, 1 << (bit & 31));
	}

	#release(key: Uint8Array): void {
		const name = bytesKey(key);
		const { port, proto } = SvcKey.decode(key);
		const bit = portBit(port, proto);
		if (bit === undefined || !this.#counted.delete(name)) return;
		const left = Math.max(0, (this.#references[bit] ?? 0) - 1);
		this.#references[bit] = left;
		if (left === 0) this.#clear(bit);
	}

	#clear(bit: number): void {
		Atomics.and(this.#words, bit >>> 5, ~(1 << (bit & 31)));
	}
}
