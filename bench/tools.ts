/** Compiles bench/traffic.c and runs it. */
import { join, resolve } from 'node:path';
import { run } from '../test/lib/cluster/exec.ts';

/** Builds the traffic program into `directory`; returns its path. Needs a C compiler (g++ of the addon brings one). */
export async function buildTraffic(directory: string): Promise<string> {
	const output = join(directory, 'traffic');
	const source = resolve(import.meta.dirname, 'traffic.c');
	await run(['cc', '-O2', '-pthread', '-o', output, source], { timeoutMs: 60_000 });
	return output;
}

/** The first number that a command printed. */
export function firstNumber(text: string): number {
	const value = Number.parseFloat(text);
	if (!Number.isFinite(value)) {
		throw new Error(`expected a number, got: ${text.slice(0, 200)}`);
	}
	return value;
}

/** Received bits per second of `iperf3 -J`. */
export function iperfBits(json: string): number {
	const report = JSON.parse(json) as { end?: { sum_received?: { bits_per_second?: number } }; error?: string };
	const bits = report.end?.sum_received?.bits_per_second;
	if (bits === undefined) {
		throw new Error(`iperf3 failed: ${report.error ?? json.slice(0, 200)}`);
	}
	return bits;
}
