/** The Kernel interface of the reconcilers on real maps. */
import type { MapName } from '../../native/abi/generated.ts';
import { membarrier, NativeError } from '../../native/index.ts';
import type { Kernel, SharedMapName } from '../reconcile/kernel.ts';
import type { PinnedMaps } from './pinned-maps.ts';

export class BpfKernel implements Kernel {
	readonly #maps: PinnedMaps;

	constructor(maps: PinnedMaps) {
		this.#maps = maps;
	}

	mapGet(map: MapName, key: Uint8Array): Uint8Array | undefined {
		return this.#maps.get(map).get(key);
	}

	mapSet(map: MapName, key: Uint8Array, value: Uint8Array): void {
		this.#maps.get(map).set(key, value);
	}

	mapDelete(map: MapName, key: Uint8Array): boolean {
		return this.#maps.get(map).delete(key);
	}

	mapEntries(map: MapName): Iterable<readonly [Uint8Array, Uint8Array]> {
		return this.#maps.get(map).scan();
	}

	mapCapacity(map: MapName): number {
		return this.#maps.get(map).info.maxEntries;
	}

	async mapSetBatch(map: MapName, keys: Uint8Array, values: Uint8Array): Promise<number> {
		try {
			return await this.#maps.get(map).updateBatch(keys, values);
		} catch (error) {
			if (error instanceof NativeError && error.done !== undefined) return error.done;
			throw error;
		}
	}

	shared(map: SharedMapName): DataView {
		return new DataView(this.#maps.get(map).mmap());
	}

	barrier(): void {
		membarrier();
	}
}
