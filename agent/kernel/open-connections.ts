/**
 * The open connections of each backend, which choose between two of them (least connections). Programs count what they see begin
 * and end; flows that end unseen are taken off by the collector.
 */
import type { Kernel } from '../reconcile/kernel.ts';

/**
 * A connection that begins or ends at the same moment may be miscounted by one.
 * @param rows  of backends, once for each flow that is gone
 */
export function countClosed(kernel: Pick<Kernel, 'mapGet' | 'mapSet'>, rows: readonly number[]): void {
	const closed = new Map<number, number>();
	for (const row of rows) closed.set(row, (closed.get(row) ?? 0) + 1);
	for (const [row, count] of closed) {
		const key = new Uint8Array(Uint32Array.of(row).buffer);
		const value = kernel.mapGet('conns', key);
		if (value === undefined) continue;
		const open = new DataView(value.buffer, value.byteOffset).getUint32(0, true);
		// the programs begin at 0 when a row is used anew, and what is gone belongs to its past
		kernel.mapSet('conns', key, new Uint8Array(Uint32Array.of(Math.max(0, open - count)).buffer));
	}
}
