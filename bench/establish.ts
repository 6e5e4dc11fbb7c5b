/** Flows whose first packets alone were sent become those of connections that were answered: until then each packet looks whether they are. */
import { fieldOffset } from '../agent/kernel/field-offset.ts';
import { Ct4Entry, CtEntry, CtFlags } from '../native/abi/generated.ts';
import type { Objects } from '../test/lib/dataplane/objects.ts';

const TABLES = [
	{ name: 'ct4', codec: Ct4Entry, flags: fieldOffset(Ct4Entry, 'flags') },
	{ name: 'ct6', codec: CtEntry, flags: fieldOffset(CtEntry, 'flags') },
] as const;

/** All flows that there are. */
export async function establish(objects: Objects): Promise<void> {
	for (const { name, codec, flags } of TABLES) {
		if (!objects.maps.has(name)) continue;
		const { count, keys, values } = await objects.map(name).dumpAsync();
		if (count === 0) continue;
		const view = new DataView(values.buffer, values.byteOffset);
		for (let at = flags; at < count * codec.size; at += codec.size)
			view.setUint16(at, view.getUint16(at, true) | CtFlags.ESTABLISHED, true);
		await objects.map(name).updateBatch(keys, values);
	}
}
