/**
 * A node's dataplane without a node: the compiled programs with maps of their own, in a network namespace of their own,
 * fed through BPF_PROG_TEST_RUN. The namespace belongs to a child process, because ifindexes of a test run are looked up
 * in the caller's namespace. Needs root, and dist/bpf from "npm run build".
 */
import { resolve } from 'node:path';
import type { Row, RunOptions, RunResult, WorldFixture } from './dataplane/types.ts';
import { NetnsProcess } from './netns-process.ts';
import { format } from './packet.ts';

export { filterBit, indexKey, PEER, SCOPE } from './dataplane/rows.ts';
export type * from './dataplane/types.ts';

/** Programs of one node, by object. */
export const NODE_OBJECTS = ['pod', 'node', 'overlay', 'host'] as const;

export const VERDICT = { NEXT: -1, OK: 0, DROP: 2, REDIRECT: 7 } as const;

export class Dataplane {
	readonly #process: NetnsProcess;

	private constructor(child: NetnsProcess) {
		this.#process = child;
	}

	/** Makes the namespace, its devices and maps, and loads the programs. */
	static async start(world: WorldFixture, objects: readonly string[] = NODE_OBJECTS): Promise<Dataplane> {
		const child = new NetnsProcess(resolve(import.meta.dirname, 'dataplane/server.ts'));
		try {
			await child.call('start', world, objects);
			return new Dataplane(child);
		} catch (error) {
			await child.close();
			throw error;
		}
	}

	programNames(): Promise<string[]> {
		return this.#process.call('programNames');
	}

	/** Name → ifindex. */
	devices(): Promise<Readonly<Record<string, number>>> {
		return this.#process.call('devices');
	}

	/** All entries of a map, by its name without fl_ and _1. */
	entries(map: string): Promise<Row[]> {
		return this.#process.call('entries', map);
	}

	set(map: string, key: Uint8Array, value: Uint8Array): Promise<void> {
		return this.#process.call('set', map, key, value);
	}

	delete(map: string, key: Uint8Array): Promise<boolean> {
		return this.#process.call('delete', map, key);
	}

	/** Attaches an XDP program to a device, which test runs of XDP may then be on (RunOptions.device). */
	attachXdp(program: string, device: string): Promise<void> {
		return this.#process.call('attachXdp', program, device);
	}

	/** Puts a program into a PROG_ARRAY. */
	setProgram(map: string, index: number, program: string): Promise<void> {
		return this.#process.call('setProgram', map, index, program);
	}

	/** Removes every entry of a hash map. */
	clear(map: string): Promise<void> {
		return this.#process.call('clear', map);
	}

	/** Raw event records since the last call. */
	events(): Promise<Uint8Array[]> {
		return this.#process.call('events');
	}

	/** Runs one program once on a frame. */
	run(program: string, packet: Uint8Array, o: RunOptions = {}): Promise<RunResult> {
		return this.#process.call('run', program, packet, o);
	}

	runMany(program: string, packets: readonly Uint8Array[], o: RunOptions = {}): Promise<RunResult[]> {
		return this.#process.call('runMany', program, packets, o);
	}

	/** Packets of any length, through a driver that cuts them to it (test/bpf/driver.bpf.c). */
	runShortened(driver: string, packets: readonly Uint8Array[], o: RunOptions = {}): Promise<RunResult[]> {
		return this.#process.call('runShortened', driver, packets, o);
	}

	/** Ends the process and removes the namespace with all its devices. */
	close(): Promise<void> {
		return this.#process.close();
	}
}

/** One run as text, for failure messages. */
export function explain(sent: Uint8Array, got: RunResult): string {
	const drops = Object.entries(got.drops).map(([reason, n]) => `reason ${reason} × ${n}`);
	return [
		'sent:',
		format(sent),
		`verdict ${got.verdict}${drops.length > 0 ? `, counted ${drops.join(', ')}` : ''}; got:`,
		format(got.packet),
	].join('\n');
}
