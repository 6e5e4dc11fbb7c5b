/** Loads the dataplane's objects into maps of their own: nothing is pinned, nothing is attached. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { BpfMap, BpfProgram } from '../../../native/index.ts';
import { BpfObject } from '../../../native/index.ts';

export const OBJECT_DIR = resolve(import.meta.dirname, '../../../dist/bpf');

/** A number as the little-endian bytes of a constant of `size` bytes. */
function constantBytes(value: number | Uint8Array, size: number): Uint8Array {
	if (typeof value !== 'number') {
		return value;
	}
	const bytes = new Uint8Array(8);
	new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
	return bytes.slice(0, size);
}

/** Short name of a map: fl_services_1 → services. */
export function shortName(mapName: string): string {
	return mapName.replace(/^fl_/, '').replace(/_\d+$/, '');
}

export interface LoadOptions {
	/** Paths, or names inside dist/bpf without ".bpf.o". The first that defines a map creates it. */
	readonly objects: readonly string[];
	readonly config: Readonly<Record<string, number | Uint8Array>>;
	readonly mapSizes?: Readonly<Record<string, number>>;
}

/** Objects that share their maps. close() frees everything. */
export class Objects {
	readonly programs = new Map<string, BpfProgram>();
	readonly maps = new Map<string, BpfMap>();
	readonly #objects: BpfObject[] = [];

	static async load(o: LoadOptions): Promise<Objects> {
		const all = new Objects();
		try {
			for (const name of o.objects) {
				await all.#loadOne(objectPath(name), o);
			}
			return all;
		} catch (error) {
			all.close();
			throw error;
		}
	}

	async #loadOne(path: string, o: LoadOptions): Promise<void> {
		const object = BpfObject.open(path);
		this.#objects.push(object);
		for (const [name, value] of Object.entries(o.config)) {
			const size = object.rodata[`cfg_${name}`];
			if (size !== undefined) {
				object.setRodata(`cfg_${name}`, constantBytes(value, size));
			}
		}
		// the only program that looks at flows without having them
		if (path.endsWith('/explain.bpf.o')) object.setRodata('cfg_dry_run', Uint8Array.of(1));
		const names = object.mapNames;
		for (const name of names) {
			const short = shortName(name);
			const shared = this.maps.get(short);
			const size = o.mapSizes?.[short];
			if (size) {
				object.setMaxEntries(name, size);
			}
			if (shared) {
				object.reuseMap(name, shared);
			}
		}
		const withFrags = object.programNames.includes('xdp_lb_frags') && o.config.xdp_frags === 1;
		if (withFrags) {
			object.setAutoload('xdp_lb', false);
			object.setAutoload('xdp_lb_frags', true);
		}
		await object.load();
		for (const name of names) {
			const short = shortName(name);
			if (!this.maps.has(short)) {
				this.maps.set(short, object.map(name));
			}
		}
		for (const name of object.programNames) {
			if (name === 'xdp_lb_frags') continue; // takes the place of the other one
			this.programs.set(name, object.program(withFrags && name === 'xdp_lb' ? 'xdp_lb_frags' : name));
		}
	}

	map(name: string): BpfMap {
		const map = this.maps.get(name);
		if (!map) {
			throw new Error(`no object has the map ${name}: ${[...this.maps.keys()].join(' ')}`);
		}
		return map;
	}

	program(name: string): BpfProgram {
		const program = this.programs.get(name);
		if (!program) {
			throw new Error(`no object has the program ${name}: ${[...this.programs.keys()].join(' ')}`);
		}
		return program;
	}

	close(): void {
		for (const object of this.#objects) {
			object.close();
		}
	}
}

function objectPath(name: string): string {
	const path = name.includes('/') ? name : `${OBJECT_DIR}/${name}.bpf.o`;
	if (!existsSync(path)) {
		throw new Error(`${path} does not exist: run "npm run build" first`);
	}
	return path;
}
