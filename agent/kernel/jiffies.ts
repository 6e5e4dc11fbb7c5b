/**
 * The kernel's jiffies as the BPF programs see them. Entries hold the low 32 bits; user space cannot read the counter
 * or its rate on every kernel, so a program that returns it is run.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { BpfProgram } from '../../native/index.ts';

/** Rates a kernel can be built with (CONFIG_HZ). */
const RATES = [100, 250, 300, 1000] as const;
const SAMPLE_MS = 60;

export interface JiffiesClock {
	/** Jiffies per second. */
	readonly hz: number;
	/** Low 32 bits of jiffies now. */
	now(): number;
	/** Seconds since `then` (low 32 bits of jiffies, at most 2^31 ago). Never negative. */
	secondsSince(then: number): number;
}

/** The configured rate nearest to a measurement in jiffies per second. */
export function nearestRate(measured: number): number {
	let best: number = RATES[0];
	for (const rate of RATES) if (Math.abs(rate - measured) < Math.abs(best - measured)) best = rate;
	return best;
}

/** Seconds between two low halves of jiffies. An entry touched after `now` was read counts as just now. */
export function elapsedSeconds(now: number, then: number, hz: number): number {
	return Math.max(0, (now - then) | 0) / hz;
}

function read(program: BpfProgram): number {
	return program.testRun({ data: new Uint8Array(64) }).retval >>> 0;
}

/**
 * Measures the rate once (about 60 ms).
 * @param program  `clock_jiffies` of clock.bpf.o; must stay open as long as the clock is used
 */
export async function openJiffiesClock(program: BpfProgram): Promise<JiffiesClock> {
	const startNs = process.hrtime.bigint();
	const start = read(program);
	await sleep(SAMPLE_MS);
	const ticks = (read(program) - start) >>> 0;
	const hz = nearestRate(ticks / (Number(process.hrtime.bigint() - startNs) / 1e9));
	return { hz, now: () => read(program), secondsSince: (then) => elapsedSeconds(read(program), then, hz) };
}
