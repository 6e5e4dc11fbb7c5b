/** Jiffies per second of the running kernel, which no system call tells. */
import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { gunzipSync } from 'node:zlib';
import { nodePath } from './node-paths.ts';

const COMMON = [100, 250, 300, 1000];
const SAMPLE_MS = 100;

/** From the kernel's configuration if it is readable, else measured for a tenth of a second. */
export function kernelHz(): number {
	return configuredHz() ?? measuredHz();
}

/** CONFIG_HZ; undefined when the configuration is not readable. */
export function configuredHz(): number | undefined {
	const text = existsSync('/proc/config.gz')
		? gunzipSync(readFileSync('/proc/config.gz')).toString('latin1')
		: readIfThere(`/boot/config-${release()}`);
	const match = /^CONFIG_HZ=(\d+)$/m.exec(text);
	return match === null ? undefined : Number(match[1]);
}

function readIfThere(path: string): string {
	return existsSync(path) ? readFileSync(path, 'latin1') : '';
}

/** Compares the jiffies counter of /proc/timer_list with the clock; 250 when there is none. */
export function measuredHz(): number {
	const first = sample();
	Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SAMPLE_MS);
	const second = sample();
	if (first === undefined || second === undefined) return 250;
	const measured = Number(second.jiffies - first.jiffies) / ((second.atMs - first.atMs) / 1000);
	return COMMON.reduce((best, each) => (Math.abs(each - measured) < Math.abs(best - measured) ? each : best));
}

function sample(): { jiffies: bigint; atMs: number } | undefined {
	const match = /^jiffies: (\d+)$/m.exec(readIfThere(nodePath('/proc/timer_list')));
	return match?.[1] === undefined ? undefined : { jiffies: BigInt(match[1]), atMs: performance.now() };
}
