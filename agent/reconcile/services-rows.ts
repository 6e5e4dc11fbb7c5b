/**
 * Finds the backend rows whose address is one of some or lies in one of some prefixes. Exact addresses are found by
 * their chain; prefixes by one pass over the rows' memory, which compares words and makes no text but of matches.
 */
import type { Address } from '../model/address.ts';
import { addressOfBytes } from '../model/address.ts';
import type { BackendTable } from './backend-table.ts';
import { SHARED_STRIDE } from './kernel.ts';
import type { ServiceMemory } from './services-apply.ts';
import type { PackedPeer, PeerChange } from './services-peers.ts';
import { mappedPrefix, maskedWord, wordsOf } from './services-peers.ts';

export interface AddressedRow {
	readonly index: number;
	readonly address: Address;
	readonly peer: PackedPeer;
	readonly svcId: number;
}

/** Rows in use. Those that only hash like one of the addresses may be among them. */
export function* rowsWithin(table: BackendTable, memory: ServiceMemory, change: PeerChange): Iterable<AddressedRow> {
	for (const address of change.addresses) for (const index of table.rowsNear(address)) yield readRow(memory, index);
	if (change.cidrs.length === 0) return;
	const { flags } = table;
	const prefixes = change.cidrs.map(prefixTest);
	const view = new DataView(memory.backendBytes.buffer, memory.backendBytes.byteOffset);
	for (let index = 0; index < flags.length; index++) {
		if (flags[index] === 0) continue;
		if (prefixes.some((test) => test(view, index * SHARED_STRIDE.backends))) yield readRow(memory, index);
	}
}

function readRow({ backendBytes }: ServiceMemory, index: number): AddressedRow {
	const at = index * SHARED_STRIDE.backends;
	const view = new DataView(backendBytes.buffer, backendBytes.byteOffset + at, SHARED_STRIDE.backends);
	return {
		index,
		address: addressOfBytes(backendBytes, at),
		peer: view.getUint32(24, true),
		svcId: view.getUint32(28, true),
	};
}

function prefixTest(cidr: string): (view: DataView, at: number) => boolean {
	const { address, length } = mappedPrefix(cidr);
	const words = wordsOf(address);
	const compared = [3, 2, 1, 0].filter((i) => length > i * 32);
	return (view, at) => compared.every((i) => maskedWord(view.getUint32(at + i * 4), i, length) === words[i]);
}
