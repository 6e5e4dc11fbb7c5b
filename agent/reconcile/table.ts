/**
 * Reconciler for a plain hash or trie map: wanted rows against the rows that are there. Additions come first, so that
 * an address never lacks its row because another one went.
 */
import { errorCode, errorMessage, FairleadError } from '../model/errors.ts';
import type { Kernel, MapName } from './kernel.ts';

export type TableOp =
	| { readonly kind: 'set'; readonly key: Uint8Array; readonly value: Uint8Array }
	| { readonly kind: 'delete'; readonly key: Uint8Array };

export interface TableRow {
	readonly key: Uint8Array;
	readonly value: Uint8Array;
}

export interface TableReport {
	readonly ops: number;
	readonly problems: readonly string[];
}

/** Bytes as a Map key. */
export function bytesKey(bytes: Uint8Array): string {
	return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/**
 * @param wanted  rows by bytesKey(key)
 * @param owns    which of the rows found are this table's to delete; others are left alone unless a wanted row has
 *                the same key
 */
export function diffTable(
	wanted: ReadonlyMap<string, TableRow>,
	actual: Iterable<readonly [Uint8Array, Uint8Array]>,
	owns: (value: Uint8Array) => boolean,
): readonly TableOp[] {
	const missing = new Map(wanted);
	const deletes: TableOp[] = [];
	for (const [key, value] of actual) {
		const name = bytesKey(key);
		const row = wanted.get(name);
		if (row === undefined) {
			if (owns(value)) deletes.push({ kind: 'delete', key });
		} else if (bytesKey(row.value) === bytesKey(value)) missing.delete(name);
	}
	const sets = [...missing.values()].map(({ key, value }): TableOp => ({ kind: 'set', key, value }));
	return [...sets, ...deletes];
}

/** Does all that can be done; a refused row does not stop the others. A full map is tried again after the deletions. */
export function applyTableOps(ops: readonly TableOp[], map: MapName, kernel: Kernel): TableReport {
	const problems: string[] = [];
	const again: TableOp[] = [];
	let done = 0;
	const run = (op: TableOp, onFull: (op: TableOp) => void): void => {
		try {
			if (op.kind === 'set') kernel.mapSet(map, op.key, op.value);
			else kernel.mapDelete(map, op.key);
			done++;
		} catch (thrown) {
			const code = errorCode(thrown);
			if (code === 'E2BIG' || code === 'ENOSPC') onFull(op);
			else problems.push(describeFailure(op, map, kernel, thrown).message);
		}
	};
	for (const op of ops) run(op, (full) => again.push(full));
	for (const op of again) {
		run(op, () => problems.push(describeFailure(op, map, kernel, { code: 'E2BIG' }).message));
	}
	return { ops: done, problems };
}

function describeFailure(op: TableOp, map: MapName, kernel: Kernel, thrown: unknown): FairleadError {
	const key = Buffer.from(op.key).toString('hex');
	const code = errorCode(thrown) ?? errorMessage(thrown);
	if (code === 'E2BIG') {
		const message = `map ${map}: cannot add key ${key}: E2BIG, all ${kernel.mapCapacity(map)} entries used; raise maps.${map}`;
		return new FairleadError('MAP_FULL', message, { map });
	}
	return new FairleadError('MAP_WRITE', `map ${map}: cannot ${op.kind} key ${key}: ${code}`, { map, cause: thrown });
}
