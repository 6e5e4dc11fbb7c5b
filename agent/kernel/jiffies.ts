/**
 * The kernel's jiffies as the BPF programs see them: entries hold the low 32 bits, and user space cannot read the counter
 * on every kernel, so a program that returns it is run.
 */
import type { BpfProgram } from '../../native/index.ts';

export interface JiffiesClock {
	/** Jiffies per second. */
	readonly hz: number;
	/** Low 32 bits of jiffies now. */
	now(): number;
}

/** Seconds between two low halves of jiffies. An entry touched after `now` was read counts as just now. */
export function elapsedSeconds(now: number, then: number, hz: number): number {
	return Math.max(0, (now - then) | 0) / hz;
}

/** @param program  `clock_jiffies` of clock.bpf.o; must stay open as long as the clock is used */
export function jiffiesClock(program: BpfProgram, hz: number): JiffiesClock {
	return { hz, now: () => program.testRun({ data: new Uint8Array(64) }).retval >>> 0 };
}
