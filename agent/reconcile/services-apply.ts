/**
 * Runs service operations against a kernel. Decides nothing but what to do about a failure: entries go on, and what
 * would take backends away from an entry that could not be replaced is left undone.
 */

import type { SvcKey as SvcKeyValue } from '../../native/abi/generated.ts';
import { RuntimeState, SourceKey, SvcEntry, SvcKey } from '../../native/abi/generated.ts';
import { addressBytes, writeAddress } from '../model/address.ts';
import { errorCode, errorMessage, FairleadError } from '../model/errors.ts';
import type { Kernel } from './kernel.ts';
import { SHARED_STRIDE } from './kernel.ts';
import type { BackendWord, OwnerWord, ServiceOp, ServiceOps } from './services-ops.ts';
import { sourceKey } from './services-sources.ts';
import type { Withdrawn } from './withdrawn.ts';
import { clearXdpRow, writeXdpRow, type XdpRowMemory, xdpRowMemory } from './xdp-rows.ts';

export interface ApplyReport {
	/** Operations that were done. */
	readonly done: number;
	/** Operations that failed, with the reason. */
	readonly failed: readonly { readonly op: ServiceOp; readonly error: FairleadError }[];
	/** Operations left undone because of a failure. */
	readonly skipped: number;
}

/** From this many entries in a row one batch call is cheaper than single ones. */
const BATCH_FROM = 32;
/** Entries per batch call: bounds the copy that a worker thread makes. */
const BATCH_MAX = 4096;

type ServiceSet = Extract<ServiceOp, { kind: 'service-set' }>;

/** The memory of the shared arrays in the forms that make single stores. */
export interface ServiceMemory {
	readonly filter: Uint32Array;
	readonly slots: Uint32Array;
	readonly backendBytes: Uint8Array;
	readonly backendWords: BigUint64Array;
	readonly xdp: XdpRowMemory;
}

export function serviceMemory(kernel: Kernel): ServiceMemory {
	const filter = kernel.shared('vip_filter');
	const slots = kernel.shared('slots');
	const backends = kernel.shared('backends');
	return {
		filter: new Uint32Array(filter.buffer, filter.byteOffset, filter.byteLength / 4),
		slots: new Uint32Array(slots.buffer, slots.byteOffset, slots.byteLength / 4),
		backendBytes: new Uint8Array(backends.buffer, backends.byteOffset, backends.byteLength),
		backendWords: new BigUint64Array(backends.buffer, backends.byteOffset, Math.floor(backends.byteLength / 8)),
		xdp: xdpRowMemory(kernel),
	};
}

/** Does everything in order, but for what `withdrawn` puts off; never throws. */
export async function applyServiceOps(
	ops: ServiceOps,
	kernel: Kernel,
	memory: ServiceMemory,
	withdrawn?: Withdrawn,
): Promise<ApplyReport> {
	const failed: { op: ServiceOp; error: FairleadError }[] = [];
	let done = 0;
	const run = (op: ServiceOp): void => {
		if (withdrawn?.putsOff(op)) return;
		try {
			applyServiceOp(op, kernel, memory);
			done++;
		} catch (thrown) {
			failed.push({ op, error: mapError(op, kernel, thrown) });
		}
	};
	for (const op of ops.before) run(op);
	// An entry must not be published when something it needs could not be written.
	if (failed.length > 0) return { done, failed, skipped: ops.publish.length + ops.after.length };
	for (let at = 0; at < ops.publish.length; ) {
		const batch = setsFrom(ops.publish, at);
		if (batch.length >= BATCH_FROM) {
			const written = await writeBatch(batch, kernel);
			done += written;
			at += written;
			if (written === batch.length) continue;
		}
		const op = ops.publish[at++];
		if (op !== undefined) run(op);
	}
	if (failed.length > 0) return { done, failed, skipped: ops.after.length };
	for (const op of ops.after) run(op);
	return { done, failed, skipped: 0 };
}

/** The run of service-set operations that starts at `at`, at most BATCH_MAX long. */
function setsFrom(ops: readonly ServiceOp[], at: number): readonly ServiceSet[] {
	const sets: ServiceSet[] = [];
	for (let i = at; i < ops.length && sets.length < BATCH_MAX; i++) {
		const op = ops[i];
		if (op?.kind !== 'service-set') break;
		sets.push(op);
	}
	return sets;
}

/** @returns how many were written; the next one is then tried alone, which tells why it was refused */
async function writeBatch(sets: readonly ServiceSet[], kernel: Kernel): Promise<number> {
	const keys = new Uint8Array(sets.length * SvcKey.size);
	const values = new Uint8Array(sets.length * SvcEntry.size);
	const keyView = new DataView(keys.buffer);
	const valueView = new DataView(values.buffer);
	for (let i = 0; i < sets.length; i++) {
		const set = sets[i];
		if (set === undefined) continue;
		SvcKey.encodeInto(frontendKey(set.key), keyView, i * SvcKey.size);
		SvcEntry.encodeInto(set.entry, valueView, i * SvcEntry.size);
	}
	try {
		return await kernel.mapSetBatch('services', keys, values);
	} catch {
		// Batch calls are an optimisation (kernel 5.6, not for every map): entry by entry shows the real reason.
		return 0;
	}
}

/** The map key of a frontend key 'address|port|proto|scope'. */
export function frontendKey(key: string): SvcKeyValue {
	const [address = '', port, proto, scope] = key.split('|');
	return { addr: addressBytes(address), port: Number(port), proto: Number(proto), scope: Number(scope) };
}

/** Does one operation. @throws what the kernel throws */
export function applyServiceOp(op: ServiceOp, kernel: Kernel, memory: ServiceMemory): void {
	switch (op.kind) {
		case 'filter-set':
			Atomics.or(memory.filter, op.bit >>> 5, 1 << (op.bit & 31));
			return;
		case 'filter-clear':
			Atomics.and(memory.filter, op.bit >>> 5, ~(1 << (op.bit & 31)));
			return;
		case 'backend-set':
			// The row is dead: nobody reads the rest before the word with its flags says that it is in use.
			writeAddress(op.backend.address, memory.backendBytes, op.index * SHARED_STRIDE.backends);
			storeOwner(memory, op.index, op);
			storeWord(memory, op.index, op.backend, op.generation);
			return;
		case 'backend-peer':
			storeOwner(memory, op.index, op.owner);
			return;
		case 'backend-update':
		case 'backend-free':
			storeWord(memory, op.index, op.row, op.row.generation);
			return;
		case 'slots-set':
			memory.slots.set(op.indexes, op.base);
			return;
		case 'xdp-clear':
			clearXdpRow(memory.xdp, op.at);
			return;
		case 'xdp-set':
			writeXdpRow(memory.xdp, op.at, op.row);
			return;
		case 'source-set':
			kernel.mapSet('sources', SourceKey.encode(sourceKey(op.set, op.cidr)), SOURCE_VALUE);
			return;
		case 'source-delete':
			kernel.mapDelete('sources', SourceKey.encode(sourceKey(op.set, op.cidr)));
			return;
		case 'external-ports':
			setExternalPorts(kernel, op.count);
			return;
		case 'service-set':
			kernel.mapSet('services', SvcKey.encode(frontendKey(op.key)), SvcEntry.encode(op.entry));
			return;
		case 'service-delete':
			kernel.mapDelete('services', SvcKey.encode(frontendKey(op.key)));
			return;
	}
}

/** Says nothing: the key does. */
const SOURCE_VALUE = Uint8Array.of(1, 0, 0, 0);

const scratchWords = new Uint32Array(2);
const scratchBytes = new Uint8Array(scratchWords.buffer);
const scratch = new BigUint64Array(scratchWords.buffer);

/** One aligned 8-byte store of {be16 port, proto, flags, generation}; DataView.setBigUint64 would be eight stores. */
function storeWord(
	memory: ServiceMemory,
	index: number,
	{ port, proto, flags }: Pick<BackendWord, 'port' | 'proto' | 'flags'>,
	generation: number,
): void {
	scratchBytes[0] = port >>> 8;
	scratchBytes[1] = port & 0xff;
	scratchBytes[2] = proto;
	scratchBytes[3] = flags;
	scratchWords[1] = generation;
	Atomics.store(memory.backendWords, index * (SHARED_STRIDE.backends / 8) + 2, scratch[0] ?? 0n);
}

/** One aligned 8-byte store of {peer_ref, svc_id}. */
export function storeOwner(memory: ServiceMemory, index: number, { peer, svcId }: OwnerWord): void {
	scratchBytes[0] = peer & 0xff;
	scratchBytes[1] = (peer >>> 8) & 0xff;
	scratchBytes[2] = (peer >>> 16) & 0xff;
	scratchBytes[3] = peer >>> 24;
	scratchWords[1] = svcId;
	Atomics.store(memory.backendWords, index * (SHARED_STRIDE.backends / 8) + 3, scratch[0] ?? 0n);
}

function setExternalPorts(kernel: Kernel, count: number): void {
	const key = new Uint8Array(4);
	const state = RuntimeState.decode(kernel.mapGet('runtime', key) ?? new Uint8Array(RuntimeState.size));
	kernel.mapSet('runtime', key, RuntimeState.encode({ ...state, externalPorts: count }));
}

function mapError(op: ServiceOp, kernel: Kernel, thrown: unknown): FairleadError {
	const object = 'key' in op ? op.key : 'index' in op ? `row ${op.index}` : 'cidr' in op ? op.cidr : op.kind;
	const code = errorCode(thrown);
	if (code === 'ENOSPC') {
		const message = `map sources: cannot add ${object}: ENOSPC, all ${kernel.mapCapacity('sources')} entries used; raise maps.sources`;
		return new FairleadError('MAP_FULL', message, { cause: thrown, op: op.kind });
	}
	if (code === 'E2BIG') {
		const capacity = kernel.mapCapacity('services');
		const message = `map services: cannot add ${object}: E2BIG, all ${capacity} entries used; raise maps.services`;
		return new FairleadError('MAP_FULL', message, { cause: thrown, op: op.kind });
	}
	const message = `service maps: cannot do ${op.kind} of ${object}: ${code ?? errorMessage(thrown)}`;
	return new FairleadError('MAP_WRITE', message, { cause: thrown, op: op.kind });
}
