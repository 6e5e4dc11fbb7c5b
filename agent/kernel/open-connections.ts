/**
 * The open connections of each backend, which choose between two of them (least connections). Programs count what they see begin
 * and end; flows that end unseen are taken off by the collector.
 */
import { CtBackendWord } from '../../native/abi/generated.ts';
import type { Kernel } from '../reconcile/kernel.ts';

/**
 * A connection that begins or ends at the same moment may be miscounted by one.
 * @param words  of backends (ct_entry.backend: row and generation), once for each flow that is gone; what belongs to a former use of a row
 *               is not counted any more
 */
export function countClosed(kernel: Pick<Kernel, 'mapGet' | 'mapSet'>, words: readonly number[]): void {
	const closed = new Map<number, number>();
	for (const word of words) closed.set(word, (closed.get(word) ?? 0) + 1);
	for (const [word, count] of closed) {
		const key = new Uint8Array(Uint32Array.of(word & CtBackendWord.MASK).buffer);
		const value = kernel.mapGet('conns', key);
		if (value === undefined) continue;
		const counted = new DataView(value.buffer, value.byteOffset).getUint32(0, true);
		if (counted >>> CtBackendWord.BITS !== word >>> CtBackendWord.BITS) continue;
		const left = counted - Math.min(counted & CtBackendWord.MASK, count);
		kernel.mapSet('conns', key, new Uint8Array(Uint32Array.of(left).buffer));
	}
}
