/**
 * Shortens the kernel's RCU grace periods while something waits for them. A tcx attachment waits for one with the rtnl lock
 * held, about 10 ms each (3 ticks), and nothing that takes the lock can run beside it. The kernel's own waits under that
 * lock are expedited; `/sys/kernel/rcu_expedited` makes this one so too, in a tenth of a millisecond.
 * The switch is the whole machine's, so it is on only while work is under way, never touched when somebody else has it on,
 * and a marker file lets the next agent switch it off after one that was killed. rcu_normal (real-time kernels) overrules it.
 */
import { closeSync, constants, ftruncateSync, mkdirSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

const SWITCH = '/sys/kernel/rcu_expedited';
const OFF = '0'.charCodeAt(0);

export interface GracePeriodOptions {
	/** Holds the boot's id while this agent has the switch on, and nothing while it has not. */
	readonly markerPath: string;
	readonly bootId: string;
	/** Default: the kernel's. */
	readonly switchPath?: string;
}

export class GracePeriods {
	readonly #bootId: string;
	#files: Files | undefined;
	/** Work under way. */
	#users = 0;
	/** We have switched it on. */
	#on = false;

	/** Switches off what an agent that was killed has left on. */
	constructor(o: GracePeriodOptions) {
		this.#bootId = o.bootId;
		this.#files = openFiles(o.switchPath ?? SWITCH, o.markerPath);
		if (this.#files === undefined) return;
		this.#on = readFileSync(this.#files.marker, 'utf8') === o.bootId;
		this.#switchOff();
	}

	/** False where /sys cannot be written or the kernel has no such switch: all works, but slower. */
	get available(): boolean {
		return this.#files !== undefined;
	}

	/** Runs `work`, whose grace periods are short if possible. Works that overlap share the switch. */
	async shorten<T>(work: () => Promise<T>): Promise<T> {
		if (this.#users++ === 0) this.#switchOn();
		try {
			return await work();
		} finally {
			if (--this.#users === 0) this.#switchOff();
		}
	}

	/** Work that is still under way goes on with long grace periods. */
	close(): void {
		this.#switchOff();
		if (this.#files === undefined) return;
		closeSync(this.#files.rcuExpedited);
		closeSync(this.#files.marker);
		this.#files = undefined;
	}

	/** The marker first: whatever moment we are killed at, what is on is known to be ours. */
	#switchOn(): void {
		if (this.#files === undefined || this.#on) return;
		try {
			const state = new Uint8Array(1);
			readSync(this.#files.rcuExpedited, state, 0, 1, 0);
			if (state[0] !== OFF) return; // somebody else wants it, now or always
			writeSync(this.#files.marker, this.#bootId, 0);
			this.#on = true;
			writeSync(this.#files.rcuExpedited, '1', 0);
		} catch {
			this.#switchOff(); // only slower without
		}
	}

	#switchOff(): void {
		if (this.#files === undefined || !this.#on) return;
		this.#on = false;
		writeSync(this.#files.rcuExpedited, '0', 0);
		ftruncateSync(this.#files.marker, 0);
	}
}

/** Open descriptors: a switch for each pod must not cost the making of a file. */
interface Files {
	readonly rcuExpedited: number;
	readonly marker: number;
}

/** @returns undefined where there is no such switch, /sys is read-only (expected in some containers) or the marker has no place */
function openFiles(switchPath: string, markerPath: string): Files | undefined {
	let rcuExpedited: number | undefined;
	try {
		rcuExpedited = openSync(switchPath, 'r+');
		mkdirSync(dirname(markerPath), { recursive: true, mode: 0o700 });
		return { rcuExpedited, marker: openSync(markerPath, constants.O_RDWR | constants.O_CREAT, 0o600) };
	} catch {
		if (rcuExpedited !== undefined) closeSync(rcuExpedited);
		return undefined;
	}
}
