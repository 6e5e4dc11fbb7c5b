/**
 * Loads the programs into shared maps: first the maps that do not exist are made, then all objects are loaded at once, each
 * on a thread of its own, because the verifier is what a start waits for.
 */
import { join } from 'node:path';
import { type DatapathConfig, encodeDatapathConfig, Maps } from '../../native/abi/generated.ts';
import { BpfObject, type BpfProgram, NativeError } from '../../native/index.ts';
import { FairleadError } from '../model/errors.ts';
import { type LookBack, NO_LOOK_BACK } from './look-back.ts';
import { mismatch } from './map-layout.ts';
import { mapNameOf, type PinnedMaps } from './pinned-maps.ts';
import { ProgramPins } from './program-pins.ts';

/** One object file of bpf/progs. */
export type ObjectName = 'pod' | 'node' | 'overlay' | 'host' | 'sock_lb' | 'xdp_lb';

/** Objects a configuration needs; what is switched off is not even loaded. @param xdp  XDP is wanted */
export function neededObjects(config: DatapathConfig, xdp = false): ObjectName[] {
	return [
		'pod',
		'node',
		...(config.overlayIfindex === 0 ? [] : (['overlay'] as const)),
		...(config.hostIfindex === 0 ? [] : (['host'] as const)),
		...(config.sockLb === 0 ? [] : (['sock_lb'] as const)),
		...(xdp ? (['xdp_lb'] as const) : []),
	];
}

/** What programs are loaded with. */
export interface LoadOptions {
	/** Directory of the compiled objects (`dist/bpf`). */
	readonly objectDir: string;
	readonly config: DatapathConfig;
	readonly maps: PinnedMaps;
	/** Where accepted programs are kept. */
	readonly pins: ProgramPins;
	/** With the XDP program; 'later' = with its maps only. */
	readonly xdp?: boolean | 'later';
	/** Asked when all maps have been made; left out = nothing is being replaced. */
	readonly lookBack?: () => LookBack;
}

export class Programs {
	readonly #objects: BpfObject[] = [];
	readonly #programs = new Map<string, BpfProgram>();
	/** Of programs that were taken from their pins, which no object closes. */
	readonly #opened: BpfProgram[] = [];
	readonly #keys = new Set<string>();
	#looksBack = false;

	/** @throws FairleadError PROGRAM_LOAD with the verifier's last lines */
	static async load(options: LoadOptions): Promise<Programs> {
		const { objectDir, config, maps, xdp = false } = options;
		const programs = new Programs();
		const pathsOf = (withXdp: boolean) =>
			neededObjects(config, withXdp).map((name) => join(objectDir, `${name}.bpf.o`));
		for (const path of pathsOf(xdp !== false)) await named(path, () => makeMaps(path, maps));
		const lookBack = options.lookBack?.() ?? NO_LOOK_BACK;
		programs.#looksBack = lookBack.maps.size > 0;
		const loads = pathsOf(xdp === true).map((path) => named(path, () => programs.#loadObject(path, options, lookBack)));
		// all must have ended before any can be closed
		const failed = (await Promise.allSettled(loads)).find((each) => each.status === 'rejected');
		if (failed !== undefined) {
			programs.close();
			throw failed.reason;
		}
		return programs;
	}

	/** Undefined when no loaded object has such a program. */
	find(name: string): BpfProgram | undefined {
		return this.#programs.get(name);
	}

	/** They hold maps that are being replaced. */
	get looksBack(): boolean {
		return this.#looksBack;
	}

	/** Under which the programs are pinned. */
	get keys(): ReadonlySet<string> {
		return this.#keys;
	}

	close(): void {
		for (const object of this.#objects) object.close();
		for (const program of this.#opened) program.close();
	}

	async #loadObject(path: string, { config, maps, pins }: LoadOptions, lookBack: LookBack): Promise<void> {
		const constants = encodeDatapathConfig({ ...config, ...lookBack.config });
		const oldIds = [...lookBack.maps].map(([name, { info }]) => [name, info.id] as const);
		const key = ProgramPins.key({ path, constants, maps: new Map([...maps.ids(), ...oldIds]) });
		this.#keys.add(key);
		const kept = pins.open(key);
		if (kept !== undefined) {
			this.#opened.push(...kept.values());
			for (const [name, program] of kept) this.#programs.set(name, program);
			return;
		}
		const object = BpfObject.open(path);
		this.#objects.push(object);
		for (const [name, value] of Object.entries(constants)) object.setRodata(name, value);
		shareMaps(object, maps);
		const used = new Set(object.mapNames);
		for (const [name, map] of lookBack.maps) if (used.has(name)) object.replaceMap(name, map);
		const loaded = chooseForms(object, config);
		await object.load();
		const made = new Map([...loaded].map(([name, form]) => [name, object.program(form)]));
		for (const [name, program] of made) this.#programs.set(name, program);
		pins.keep(key, made);
	}
}

/** Programs with another form for kernels whose packets may take several buffers: a device of large MTU refuses the first. */
const FRAGS_FORMS: Readonly<Record<string, string>> = { xdp_lb: 'xdp_lb_frags' };

/** Says which form of each program is to be loaded. @returns it by the name under which the program is attached */
function chooseForms(object: BpfObject, { xdpFrags }: DatapathConfig): Map<string, string> {
	const others = Object.values(FRAGS_FORMS);
	const names = object.programNames.filter((name) => !others.includes(name));
	return new Map(
		names.map((name) => {
			const form = FRAGS_FORMS[name];
			if (form === undefined || xdpFrags === 0) return [name, name];
			object.setAutoload(name, false);
			object.setAutoload(form, true);
			return [name, form];
		}),
	);
}

/** A program that is attached nowhere, on the maps that exist. */
export interface LooseProgram {
	readonly program: BpfProgram;
	close(): void;
}

/** @throws FairleadError PROGRAM_LOAD with the verifier's last lines */
export function loadLoose(
	path: string,
	programName: string,
	config: DatapathConfig,
	maps: PinnedMaps,
): Promise<LooseProgram> {
	return named(path, async () => {
		const object = BpfObject.open(path);
		try {
			for (const [name, value] of Object.entries(encodeDatapathConfig(config))) object.setRodata(name, value);
			shareMaps(object, maps);
			await object.load();
			return { program: object.program(programName), close: () => object.close() };
		} catch (error) {
			object.close();
			throw error;
		}
	});
}

/** Runs a step with an object file. @throws FairleadError PROGRAM_LOAD for what the kernel or libbpf refuses */
async function named<T>(path: string, step: () => Promise<T>): Promise<T> {
	try {
		return await step();
	} catch (cause) {
		if (!(cause instanceof NativeError)) throw cause;
		throw new FairleadError('PROGRAM_LOAD', `cannot load ${path}: ${cause.message}`, {
			cause,
			object: path,
			log: cause.log,
		});
	}
}

/** Makes the maps of an object that do not exist yet, with its type information, but loads no program. */
async function makeMaps(path: string, maps: PinnedMaps): Promise<void> {
	const object = BpfObject.open(path);
	try {
		const missing = shareMaps(object, maps);
		if (missing.length === 0) return;
		for (const program of object.programNames) object.setAutoload(program, false);
		await object.load();
		for (const fullName of missing) adoptMap(object, fullName, maps);
	} finally {
		object.close();
	}
}

/** Gives an object the maps that exist. @returns those it would make; maps that are not ours stay private to it */
function shareMaps(object: BpfObject, maps: PinnedMaps): string[] {
	return object.mapNames.filter((fullName) => {
		const name = mapNameOf(fullName);
		if (name === undefined) return false;
		// Also before reuse, which compares it with the map's.
		object.setMaxEntries(fullName, maps.capacity(name));
		const existing = maps.find(name);
		if (existing !== undefined) object.reuseMap(fullName, existing);
		return existing === undefined;
	});
}

function adoptMap(object: BpfObject, fullName: string, maps: PinnedMaps): void {
	const name = mapNameOf(fullName);
	if (name === undefined) return;
	const made = object.map(fullName);
	const why = mismatch(made, Maps[name], maps.capacity(name));
	if (why !== undefined) {
		throw new FairleadError(
			'MAP_LAYOUT',
			`map ${fullName} of the compiled programs does not fit this agent: ${why}; build both from the same source`,
		);
	}
	maps.adopt(name, made);
}
