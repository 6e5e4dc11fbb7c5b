/** The single row of the map runtime: what programs are told besides their constants. */
import { RuntimeState } from '../../native/abi/generated.ts';
import type { Kernel } from '../reconcile/kernel.ts';

type Rows = Pick<Kernel, 'mapGet' | 'mapSet'>;

export function setMigrating(kernel: Rows, migrating: 0 | 1): void {
	change(kernel, () => ({ migrating }));
}

/**
 * To be called before programs with this range of masquerade ports see a packet: flows with a port outside of it that others have given are found
 * until the next boot.
 */
export function keepFormerPorts(
	kernel: Rows,
	{ snatPortMin, snatPortMax }: { readonly snatPortMin: number; readonly snatPortMax: number },
): void {
	change(kernel, (old) => {
		const isCovered = old.snatPortMax === 0 || (old.snatPortMin >= snatPortMin && old.snatPortMax <= snatPortMax);
		return { snatPortMin, snatPortMax, ...(!isCovered && { formerPorts: 1 }) };
	});
}

function change(kernel: Rows, changes: (old: RuntimeState) => Partial<RuntimeState>): void {
	const key = new Uint8Array(4);
	const row = kernel.mapGet('runtime', key) ?? new Uint8Array(RuntimeState.size);
	const old = RuntimeState.decode(row);
	const value = RuntimeState.encode({ ...old, ...changes(old) });
	if (Buffer.compare(value, row) !== 0) kernel.mapSet('runtime', key, value);
}
