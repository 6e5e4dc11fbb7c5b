/** Compiled BPF object files. */
import { addon, handleOf, mapHandles, type ObjectHandle } from './addon.ts';
import { BpfMap } from './map.ts';
import { BpfProgram } from './program.ts';

/** A compiled object file: open, adjust, load once, take maps and programs, close. */
export class BpfObject {
	/** Without the compiler's own maps (.rodata, .bss), which map() finds by their section's name. */
	readonly mapNames: string[];
	readonly programNames: string[];
	/** Constants in .rodata: name → size in bytes. */
	readonly rodata: Readonly<Record<string, number>>;
	readonly #handle: ObjectHandle;
	readonly #maps = new Map<string, BpfMap>();
	readonly #programs = new Map<string, BpfProgram>();

	private constructor(handle: ObjectHandle) {
		this.#handle = handle;
		this.mapNames = addon.objectMapNames(handle);
		this.programNames = addon.objectProgramNames(handle);
		this.rodata = addon.objectRodata(handle);
	}

	static open(path: string): BpfObject {
		return new BpfObject(addon.objectOpen(path));
	}

	/** Sets a `const volatile` variable before load. @throws NativeError ENOENT (no such variable), TypeError (wrong size). */
	setRodata(name: string, value: Uint8Array): void {
		addon.objectSetRodata(this.#handle, name, value);
	}

	/** Uses an existing map in place of the object's own. @throws NativeError MAP_LAYOUT when type, sizes, max_entries or flags differ. */
	reuseMap(name: string, map: BpfMap): void {
		addon.objectReuseMap(this.#handle, name, handleOf(mapHandles, map, 'map'));
	}

	/** As reuseMap(), but with a map of any shape: the verifier judges what programs do with it. */
	replaceMap(name: string, map: BpfMap): void {
		addon.objectReplaceMap(this.#handle, name, handleOf(mapHandles, map, 'map'));
	}

	setMaxEntries(name: string, maxEntries: number): void {
		addon.objectSetMaxEntries(this.#handle, name, maxEntries);
	}

	setAutoload(program: string, on: boolean): void {
		addon.objectSetAutoload(this.#handle, program, on);
	}

	/**
	 * Creates the maps and runs the verifier, on a worker thread. Once only.
	 * @throws NativeError whose message ends with the last lines of what libbpf and the verifier said; all of it is `log`.
	 */
	load(): Promise<void> {
		return addon.objectLoad(this.#handle);
	}

	/** The same BpfMap each time; this object's close() closes it. */
	map(name: string): BpfMap {
		let map = this.#maps.get(name);
		if (map === undefined) {
			map = BpfMap.fromHandle(addon.objectMap(this.#handle, name));
			this.#maps.set(name, map);
		}
		return map;
	}

	/** The same BpfProgram each time; this object's close() closes it. */
	program(name: string): BpfProgram {
		let program = this.#programs.get(name);
		if (program === undefined) {
			program = BpfProgram.fromHandle(addon.objectProgram(this.#handle, name));
			this.#programs.set(name, program);
		}
		return program;
	}

	/** Closes its maps and programs too. Links and pins made from them stay. */
	close(): void {
		for (const map of this.#maps.values()) map.close();
		for (const program of this.#programs.values()) program.close();
		this.#maps.clear();
		this.#programs.clear();
		addon.objectClose(this.#handle);
	}
}
