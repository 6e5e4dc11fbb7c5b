/**
 * Programs that the verifier has accepted, kept on bpffs: an agent that starts again with the same objects, constants and maps
 * takes them from there instead of having them checked for a second or two of CPU time.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { BpfProgram } from '../../native/index.ts';

const UNFINISHED = '_unfinished';

/** What a loaded program is made of, besides the running kernel, which bpffs does not outlive. */
export interface Ingredients {
	/** Path of the compiled object. */
	readonly path: string;
	/** Constants by name. */
	readonly constants: Readonly<Record<string, Uint8Array>>;
	/** Ids of the maps it uses by name; an id is not given twice. */
	readonly maps: ReadonlyMap<string, number>;
}

export class ProgramPins {
	readonly #directory: string;

	/** @param directory  on bpffs; made with mode 0700 when missing */
	constructor(directory: string) {
		this.#directory = directory;
		mkdirSync(directory, { recursive: true, mode: 0o700 });
	}

	/** Name under which programs of these ingredients are kept. */
	static key({ path, constants, maps }: Ingredients): string {
		const hash = createHash('sha256').update(readFileSync(path));
		for (const [name, value] of Object.entries(constants).sort()) hash.update(`\0${name}\0`).update(value);
		for (const [name, id] of [...maps].sort()) hash.update(`\0${name}\0${id}`);
		return hash.digest('hex').slice(0, 40);
	}

	/** Programs by name; the caller closes them. Undefined when there are none, or they cannot be opened and are removed. */
	open(key: string): Map<string, BpfProgram> | undefined {
		const directory = join(this.#directory, key);
		if (!existsSync(directory)) return undefined;
		const programs = new Map<string, BpfProgram>();
		try {
			for (const name of readdirSync(directory)) programs.set(name, BpfProgram.openPinned(join(directory, name)));
			return programs;
		} catch {
			for (const program of programs.values()) program.close();
			rmSync(directory, { recursive: true, force: true });
			return undefined;
		}
	}

	/** Keeps all programs of an object, or none of them. */
	keep(key: string, programs: ReadonlyMap<string, BpfProgram>): void {
		const made = join(this.#directory, key + UNFINISHED);
		rmSync(made, { recursive: true, force: true });
		mkdirSync(made, { mode: 0o700 });
		for (const [name, program] of programs) program.pin(join(made, name));
		renameSync(made, join(this.#directory, key));
	}

	/** From now on only what `keys` name is kept. */
	retain(keys: ReadonlySet<string>): void {
		for (const entry of readdirSync(this.#directory)) {
			if (!keys.has(entry)) rmSync(join(this.#directory, entry), { recursive: true, force: true });
		}
	}
}
