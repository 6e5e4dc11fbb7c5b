/** Carries what reconcilers wrote into a fake kernel over to the maps of real programs, only what changed. */
import type { MapName, SharedMapName } from '../../agent/reconcile/kernel.ts';
import { SHARED_STRIDE } from '../../agent/reconcile/kernel.ts';
import { indexKey } from '../lib/dataplane/rows.ts';
import type { FakeKernel } from '../lib/fake-kernel.ts';

/** Maps of a set of programs, by name without fl_ and _1; absent in objects that do not use them. */
export interface ProgramMaps {
	set(map: string, key: Uint8Array, value: Uint8Array): Promise<void>;
	delete(map: string, key: Uint8Array): Promise<boolean>;
}

const TABLES: readonly MapName[] = [
	'services',
	'ipcache',
	'cidrs',
	'endpoints',
	'ifaces',
	'nodes',
	'sources',
	'runtime',
];
const SHARED: readonly SharedMapName[] = ['slots', 'backends', 'vip_filter', 'ports', 'inside', 'xdp_svc'];
const ARRAYS: readonly MapName[] = ['endpoints', 'nodes', 'runtime'];

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const bytesOf = (from: string): Uint8Array => new Uint8Array(Buffer.from(from, 'latin1'));

export class KernelSync {
	readonly #from: FakeKernel;
	readonly #to: ProgramMaps;
	readonly #absent: readonly string[];
	readonly #tables = new Map<MapName, Map<string, string>>();
	readonly #shared = new Map<SharedMapName, Buffer>();

	/** @param absent  maps that the programs do not have */
	constructor(from: FakeKernel, to: ProgramMaps, absent: readonly string[] = []) {
		this.#from = from;
		this.#to = to;
		this.#absent = absent;
	}

	/** Makes the programs' maps equal; what they held before the first call must have been cleared. */
	async sync(): Promise<void> {
		for (const map of SHARED) if (!this.#absent.includes(map)) await this.#syncShared(map);
		for (const map of TABLES) if (!this.#absent.includes(map)) await this.#syncTable(map);
	}

	async #syncTable(map: MapName): Promise<void> {
		const before = this.#tables.get(map) ?? new Map<string, string>();
		const now = new Map([...this.#from.mapEntries(map)].map(([key, value]) => [text(key), text(value)]));
		for (const [key, value] of now) {
			if (before.get(key) !== value) await this.#to.set(map, bytesOf(key), bytesOf(value));
		}
		for (const key of before.keys()) {
			if (!now.has(key) && !ARRAYS.includes(map)) await this.#to.delete(map, bytesOf(key));
		}
		this.#tables.set(map, now);
	}

	async #syncShared(map: SharedMapName): Promise<void> {
		const view = this.#from.shared(map);
		const now = Buffer.from(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
		const before = this.#shared.get(map) ?? Buffer.alloc(now.length);
		const stride = SHARED_STRIDE[map];
		for (let at = 0; at < now.length; at += stride) {
			const row = now.subarray(at, at + stride);
			if (!row.equals(before.subarray(at, at + stride))) {
				await this.#to.set(map, indexKey(at / stride), new Uint8Array(row));
			}
		}
		this.#shared.set(map, now);
	}
}
