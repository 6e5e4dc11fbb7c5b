/** Flows whose first packets alone were sent become those of connections that were answered: until then each packet looks whether they are. */
import { fieldOffset } from '../native/abi/field-offset.ts';
import { Ct4Entry, CtEntry, CtFlags } from '../native/abi/generated.ts';
import type { Objects } from '../test/lib/dataplane/objects.ts';

const TABLES = [
	{ name: 'ct4', codec: Ct4Entry, flags: fieldOffset(Ct4Entry, 'flags') },
	{ name: 'ct6', codec: CtEntry, flags: fieldOffset(CtEntry, 'flags') },
] as const;

/** Rows one after the other, each of them twice. */
function twice(rows: Uint8Array, size: number): Uint8Array {
	const out = new Uint8Array(2 * rows.length);
	for (let at = 0; at < rows.length; at += size) {
		const row = rows.subarray(at, at + size);
		out.set(row, 2 * at);
		out.set(row, 2 * at + size);
	}
	return out;
}

/**
 * All flows that there are. An update of a preallocated hash goes to the element that the update before it has freed, and a second one of the same
 * key goes back: so each flow stays where it was in memory, in the order in which it was opened.
 */
export async function establish(objects: Objects): Promise<void> {
	for (const { name, codec, flags } of TABLES) {
		if (!objects.maps.has(name)) continue;
		const { count, keys, values } = await objects.map(name).dumpAsync();
		if (count === 0) continue;
		const view = new DataView(values.buffer, values.byteOffset);
		for (let at = flags; at < count * codec.size; at += codec.size)
			view.setUint16(at, view.getUint16(at, true) | CtFlags.ESTABLISHED, true);
		await objects.map(name).updateBatch(twice(keys, keys.length / count), twice(values, codec.size));
	}
}
