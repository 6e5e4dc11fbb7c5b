/** Reads the service maps of a fake kernel as a BPF program would, and says what does not hold together. */
import { addressOfBytes, familyOf } from '../../agent/model/address.ts';
import { type Kernel, SHARED_STRIDE } from '../../agent/reconcile/kernel.ts';
import { frontendKeyOf } from '../../agent/reconcile/services-state.ts';
import { filterBit } from '../../agent/reconcile/vip-filter.ts';
import { Backend, SourceKey, SvcEntry, SvcFlags } from '../../native/abi/generated.ts';

export interface ReadService {
	readonly key: string;
	readonly entry: SvcEntry;
	/** 'address|port|proto' in slot order. */
	readonly all: readonly string[];
	readonly local: readonly string[];
	/** The Maglev table before the change that is under way. */
	readonly previous: readonly string[];
}

/** Row of a backend by index. */
export function readBackend(kernel: Kernel, index: number): Backend {
	const view = kernel.shared('backends');
	return Backend.decode(new Uint8Array(view.buffer, view.byteOffset + index * SHARED_STRIDE.backends, Backend.size));
}

function readList(kernel: Kernel, id: number, base: number, count: number): { keys: string[]; faults: string[] } {
	const slots = kernel.shared('slots');
	const keys: string[] = [];
	const faults: string[] = [];
	for (let i = base; i < base + count; i++) {
		const index = slots.getUint32(i * 4, true);
		const row = readBackend(kernel, index);
		keys.push(`${addressOfBytes(row.addr)}|${row.port}|${row.proto}`);
		if (index === 0) faults.push(`slot ${i} names no backend`);
		else if (row.flags === 0) faults.push(`slot ${i} names dead backend ${index} (${keys.at(-1)})`);
		else if (row.svcId !== id) faults.push(`slot ${i} names backend ${index} of service ${row.svcId}, not of ${id}`);
	}
	return { keys, faults };
}

export function filterHas(kernel: Kernel, address: string): boolean {
	const bit = filterBit(address);
	return ((kernel.shared('vip_filter').getUint32((bit >>> 5) * 4, true) >>> (bit & 31)) & 1) === 1;
}

/** Prefixes of each source set, sorted. */
export function readSources(kernel: Kernel): Map<number, string[]> {
	const sets = new Map<number, string[]>();
	for (const [bytes] of kernel.mapEntries('sources')) {
		const { prefixLen, set, addr } = SourceKey.decode(bytes);
		const address = addressOfBytes(addr);
		const cidr = `${address}/${prefixLen - 32 - (familyOf(address) === 4 ? 96 : 0)}`;
		sets.set(set, [...(sets.get(set) ?? []), cidr].sort());
	}
	return sets;
}

/** All services, sorted by key, and every fault a packet could run into. */
export function readServices(kernel: Kernel): { services: ReadService[]; faults: string[] } {
	const services: ReadService[] = [];
	const faults: string[] = [];
	const sources = readSources(kernel);
	for (const [keyBytes, value] of kernel.mapEntries('services')) {
		const key = frontendKeyOf(keyBytes);
		const entry = SvcEntry.decode(value);
		const all = readList(kernel, entry.id, entry.allBase, entry.allCount);
		const local = readList(kernel, entry.id, entry.localBase, entry.localCount);
		const previous = readList(kernel, entry.id, entry.prevBase, entry.prevCount);
		for (const fault of [...all.faults, ...local.faults, ...previous.faults]) faults.push(`${key}: ${fault}`);
		if (!filterHas(kernel, key.split('|')[0] ?? '')) faults.push(`${key}: filter bit is clear`);
		if (entry.id === 0 && (entry.flags & SvcFlags.ADDRESS_ONLY) === 0) faults.push(`${key}: no id`);
		if (entry.sourceSet !== 0 && !sources.has(entry.sourceSet)) faults.push(`${key}: source set is missing`);
		services.push({ key, entry, all: all.keys, local: local.keys, previous: previous.keys });
	}
	return { services: services.sort((a, b) => (a.key < b.key ? -1 : 1)), faults };
}
