/** Boots a kernel in an emulated machine and hands over what its console says. */
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';

export interface Machine {
	readonly kernel: string;
	readonly initramfs: string;
	/** All that the console says, each line behind the seconds since the start. */
	readonly logFile: string;
	/** More of the kernel's command line; the guest finds it in /proc/cmdline. */
	readonly options?: string;
	/** Then the machine is ended. */
	readonly limitMs: number;
}

const MEMORY_MB = 1500;
const COMMAND_LINE = 'console=ttyS0 rdinit=/init panic=-1 quiet mitigations=off nokaslr no_timer_check init_on_alloc=0';
/**
 * All that the emulator has but the fast string instructions, which it carries out byte by byte: told of them, kernels copy and clear memory by
 * these alone. Without them, and without clearing what is allocated, programs take a third less time to load.
 * Nor has it cmpxchg16b: QEMU 7.2 returns from it with addresses in the flags register now and then, of which 6.12 dies in kmalloc.
 */
const CPU = 'max,-erms,-fsrm,-cx16';

/**
 * Emulated in software, so that it runs inside virtual machines and without /dev/kvm.
 * @returns how it ended: undefined, or what went wrong
 */
export async function boot(machine: Machine, onLine: (line: string) => void): Promise<string | undefined> {
	const child = spawn(
		'qemu-system-x86_64',
		[
			...['-accel', 'tcg', '-cpu', CPU, '-smp', '1', '-m', `${MEMORY_MB}`],
			...['-nodefaults', '-no-reboot', '-display', 'none', '-serial', 'stdio'],
			...['-kernel', machine.kernel, '-initrd', machine.initramfs],
			...['-append', `${COMMAND_LINE} ${machine.options ?? ''}`],
		],
		{ stdio: ['ignore', 'pipe', 'pipe'] },
	);
	const log = createWriteStream(machine.logFile);
	child.stderr.pipe(log, { end: false });
	const lines = createInterface({ input: child.stdout });
	const started = performance.now();
	lines.on('line', (line) => {
		log.write(`${((performance.now() - started) / 1000).toFixed(1).padStart(6)} ${line}\n`);
		onLine(line);
	});
	let late = false;
	const timer = setTimeout(() => {
		late = true;
		child.kill('SIGKILL');
	}, machine.limitMs);
	const stop = (): void => void child.kill('SIGKILL');
	const interrupted = (): void => process.exit(1);
	process.once('exit', stop);
	for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupted);
	try {
		const { promise, resolve } = Promise.withResolvers<string | undefined>();
		child.on('error', (error) => resolve(error.message));
		child.on('close', (code) => resolve(code === 0 ? undefined : `qemu ended with code ${code}`));
		const why = await promise;
		return late ? `not finished after ${machine.limitMs / 1000} s` : why;
	} finally {
		clearTimeout(timer);
		process.off('exit', stop);
		for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupted);
		log.end();
	}
}
