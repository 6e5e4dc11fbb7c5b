/**
 * What a map in the kernel really looks like, from the BTF the kernel keeps with it, held against what this version
 * was compiled with.
 */
import { type Btf, parseBtf } from '../../native/abi/btf.ts';
import type { MapSpec } from '../../native/abi/codec.ts';
import { layoutHash, layoutOf } from '../../native/abi/layout.ts';
import type { BpfMap } from '../../native/index.ts';
import { btfOfId } from '../../native/index.ts';
import type { EntryLayout } from './conversion.ts';

const cache = new Map<number, Btf>();

function btfOf(id: number): Btf {
	const known = cache.get(id);
	if (known !== undefined) return known;
	const btf = parseBtf(btfOfId(id));
	cache.set(id, btf);
	return btf;
}

/**
 * Layout of a map's key and value.
 * @returns undefined when the kernel has no BTF of it (ring buffers; maps of other programs)
 * @throws LayoutError or BtfError when the types are none that Fairlead would share
 */
export function entryLayoutOf(map: BpfMap): EntryLayout | undefined {
	const { name, btfId, btfKeyTypeId, btfValueTypeId } = map.info;
	if (btfId === 0 || btfKeyTypeId === 0 || btfValueTypeId === 0) return undefined;
	const btf = btfOf(btfId);
	return {
		key: layoutOf(btf, btfKeyTypeId, `${name} key`),
		value: layoutOf(btf, btfValueTypeId, `${name} value`),
	};
}

/**
 * Why a map cannot be used as it is.
 * @param maxEntries  the size configuration asks for
 * @returns undefined when it can
 */
export function mismatch(map: BpfMap, spec: MapSpec, maxEntries: number): string | undefined {
	const { info } = map;
	const facts = [
		['type', info.type, spec.type],
		['flags', info.flags, spec.flags],
		['key size', info.keySize, spec.keySize],
		['value size', info.valueSize, spec.valueSize],
		['capacity', info.maxEntries, maxEntries],
	] as const;
	for (const [what, actual, wanted] of facts) {
		if (actual !== wanted) return `${what} is ${actual} instead of ${wanted}`;
	}
	if (spec.layout === '') return undefined;
	return layoutMismatch(map, spec);
}

function layoutMismatch(map: BpfMap, spec: MapSpec): string | undefined {
	try {
		const layout = entryLayoutOf(map);
		if (layout === undefined) return 'the kernel keeps no type information of it';
		const hash = layoutHash(layout.key, layout.value);
		return hash === spec.layout ? undefined : `layout is ${hash} instead of ${spec.layout}`;
	} catch (error) {
		return error instanceof Error ? error.message : String(error);
	}
}
