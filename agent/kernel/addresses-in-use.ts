/** Which of some addresses have connections. Asked seldom, and only when something depends on it: it reads the flow tables. */

import { fieldOffsets } from '../../native/abi/field-offset.ts';
import { Ct4Entry, Ct4Key, CtEntry, CtFlags, CtKey } from '../../native/abi/generated.ts';
import type { BpfMap } from '../../native/index.ts';
import { type Address, addressBytes, familyOf } from '../model/address.ts';
import type { CtMaps } from './ct-gc.ts';

interface Layout {
	readonly keySize: number;
	readonly valueSize: number;
	readonly lo: number;
	readonly hi: number;
	/** Of u16 flags in the value. */
	readonly flags: number;
	readonly addressSize: 4 | 16;
}

const LAYOUT4: Layout = {
	keySize: Ct4Key.size,
	valueSize: Ct4Entry.size,
	...fieldOffsets(Ct4Key, 'lo', 'hi'),
	...fieldOffsets(Ct4Entry, 'flags'),
	addressSize: 4,
};
const LAYOUT6: Layout = {
	keySize: CtKey.size,
	valueSize: CtEntry.size,
	...fieldOffsets(CtKey, 'lo', 'hi'),
	...fieldOffsets(CtEntry, 'flags'),
	addressSize: 16,
};

/** @returns those of the addresses that are an end of a flow that is not closing */
export async function addressesInUse(maps: CtMaps, addresses: ReadonlySet<Address>): Promise<Set<Address>> {
	const found = new Set<Address>();
	const { ct4, ct6, ctfull4, ctfull6 } = maps;
	const four = [...addresses].filter((address) => familyOf(address) === 4);
	const six = [...addresses].filter((address) => familyOf(address) === 6);
	for (const map of four.length > 0 ? [ct4, ctfull4] : []) await look(map, LAYOUT4, four, found);
	for (const map of six.length > 0 ? [ct6, ctfull6] : []) await look(map, LAYOUT6, six, found);
	return found;
}

async function look(map: BpfMap, layout: Layout, wanted: readonly Address[], found: Set<Address>): Promise<void> {
	const { keySize, valueSize, lo, hi, flags, addressSize } = layout;
	const texts = new Map(wanted.map((each) => [hex(addressBytes(each), 16 - addressSize, addressSize), each]));
	// most entries are settled by the last four bytes
	const tails = new Set(wanted.map((each) => Buffer.from(addressBytes(each)).readUInt32LE(12)));
	const { count, keys, values } = await map.dumpAsync();
	const keyBytes = Buffer.from(keys.buffer, keys.byteOffset, keys.byteLength);
	const valueBytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
	for (let i = 0; i < count; i++) {
		for (const at of [i * keySize + lo, i * keySize + hi]) {
			if (!tails.has(keyBytes.readUInt32LE(at + addressSize - 4))) continue;
			const address = texts.get(hex(keyBytes, at, addressSize));
			if (address !== undefined && !(valueBytes.readUInt16LE(i * valueSize + flags) & CtFlags.CLOSING))
				found.add(address);
		}
	}
}

function hex(bytes: Uint8Array, at: number, length: number): string {
	return Buffer.from(bytes.buffer, bytes.byteOffset + at, length).toString('hex');
}
