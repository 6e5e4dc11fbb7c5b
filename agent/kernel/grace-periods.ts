/**
 * Shortens the kernel's RCU grace periods while something waits for them. A tcx attachment waits for one with the rtnl lock
 * held, about 10 ms each (3 ticks), and nothing that takes the lock can run beside it. The kernel's own waits under that
 * lock are expedited; `/sys/kernel/rcu_expedited` makes this one so too, in a tenth of a millisecond.
 * The switch is the whole machine's, so it is on only while work is under way, never touched when somebody else has it on,
 * and a marker file lets the next agent switch it off after one that was killed. rcu_normal (real-time kernels) overrules it.
 */
import { closeSync, openSync, readFileSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { errorCode } from '../model/errors.ts';

const SWITCH = '/sys/kernel/rcu_expedited';
const OFF = '0'.charCodeAt(0);

export interface GracePeriodOptions {
	/** Exists while this agent has the switch on, and names the boot. */
	readonly markerPath: string;
	readonly bootId: string;
	/** Default: the kernel's. */
	readonly switchPath?: string;
}

export class GracePeriods {
	readonly #markerPath: string;
	readonly #bootId: string;
	#fd: number | undefined;
	/** Work under way. */
	#users = 0;
	/** We have switched it on. */
	#on = false;

	/** Switches off what an agent that was killed has left on. */
	constructor(o: GracePeriodOptions) {
		this.#markerPath = o.markerPath;
		this.#bootId = o.bootId;
		this.#fd = openSwitch(o.switchPath ?? SWITCH);
		if (readMarker(o.markerPath) === o.bootId) this.#on = true;
		this.#switchOff();
	}

	/** False where /sys cannot be written or the kernel has no such switch: all works, but slower. */
	get available(): boolean {
		return this.#fd !== undefined;
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
		if (this.#fd !== undefined) closeSync(this.#fd);
		this.#fd = undefined;
	}

	/** The marker first: whatever moment we are killed at, what is on is known to be ours. */
	#switchOn(): void {
		if (this.#fd === undefined || this.#on) return;
		try {
			const state = new Uint8Array(1);
			readSync(this.#fd, state, 0, 1, 0);
			if (state[0] !== OFF) return; // somebody else wants it, now or always
			writeFileSync(this.#markerPath, this.#bootId, { mode: 0o600 });
			this.#on = true;
			writeSync(this.#fd, '1', 0);
		} catch {
			this.#switchOff(); // only slower without
		}
	}

	#switchOff(): void {
		if (this.#fd === undefined || !this.#on) return;
		this.#on = false;
		writeSync(this.#fd, '0', 0);
		rmSync(this.#markerPath, { force: true });
	}
}

function openSwitch(path: string): number | undefined {
	try {
		return openSync(path, 'r+');
	} catch {
		return undefined; // no such switch, or /sys is read-only: expected in some containers
	}
}

function readMarker(path: string): string | undefined {
	try {
		return readFileSync(path, 'utf8');
	} catch (error) {
		if (errorCode(error) === 'ENOENT') return undefined;
		throw error;
	}
}
