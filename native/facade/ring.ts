/** Ring buffer reader. */
import { addon, handleOf, mapHandles, type RingHandle } from './addon.ts';
import { deliverBatches } from './batches.ts';
import type { BpfMap } from './map.ts';

/**
 * Reads a BPF_MAP_TYPE_RINGBUF on its own thread and hands batches to `onRecords` on the event loop, never two batches
 * in one turn of it. At most `maxQueued` records wait; more are dropped and counted in `lost`. Keeps the process alive
 * until close().
 */
export class RingBuffer {
	readonly #handle: RingHandle;
	#closed = false;

	/**
	 * @param onRecords gets each batch once; the arrays are views of one buffer that nobody else uses
	 * @param o.pollMs how long records submitted with BPF_RB_NO_WAKEUP may wait; default 100
	 * @param o.maxQueued default 16384
	 */
	constructor(
		map: BpfMap,
		onRecords: (records: Uint8Array[]) => void,
		o: { pollMs?: number; maxQueued?: number } = {},
	) {
		const deliver = deliverBatches(onRecords, () => {
			if (!this.#closed) addon.ringAcknowledge(this.#handle);
		});
		this.#handle = addon.ringOpen(handleOf(mapHandles, map, 'map'), deliver, o.pollMs ?? 100, o.maxQueued ?? 16384);
	}

	/** Records dropped because JavaScript was too slow. What the kernel could not submit is the producer's to count. */
	get lost(): bigint {
		return addon.ringLost(this.#handle);
	}

	/** No callback comes after this. */
	close(): void {
		this.#closed = true;
		addon.ringClose(this.#handle);
	}
}
