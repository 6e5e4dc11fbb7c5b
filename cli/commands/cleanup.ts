import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import type { Context } from '../context.ts';
import { EXIT } from '../exit.ts';

/** Of the DaemonSet, and of a node that is set up by hand. */
const USUAL_CONFIG = '/etc/fairlead/agent.yaml';

interface Options {
	readonly yes?: true;
	readonly state?: true;
	readonly config?: string;
	readonly stay?: true;
}

/** Runs in a process of its own (agent/cleanup.ts): it needs the kernel, this tool does not. */
export function cleanupCommand(context: Context): Command {
	return new Command('cleanup')
		.description('takes away what Fairlead has made on this node; without --yes it only says what')
		.option('--yes', 'do it')
		.option('--state', 'also what is remembered of pods and their addresses')
		.option(
			'--config <file>',
			`the agent's configuration, for other paths than the usual (default: ${USUAL_CONFIG} if there)`,
		)
		.addOption(new Option('--stay', 'do not end afterwards, as a container of a DaemonSet must not').hideHelp())
		.action(async ({ yes, state, config, stay }: Options) => {
			const file = config ?? (existsSync(USUAL_CONFIG) ? USUAL_CONFIG : undefined);
			const args = [
				...(yes ? ['--yes'] : []),
				...(state ? ['--state'] : []),
				...(file === undefined ? [] : ['--config', file]),
			];
			const told = stay ? untilToldToEnd() : undefined;
			const child = spawn(process.execPath, [programFile(), ...args], { stdio: 'inherit' });
			const [code] = (await once(child, 'close')) as [number | null];
			context.setExitCode(code === 0 ? EXIT.OK : EXIT.FAILURE);
			await told;
		});
}

/** From source and from the bundle. */
function programFile(): string {
	const { dirname, filename } = import.meta;
	return filename.endsWith('.ts') ? join(dirname, '../../agent/cleanup.ts') : join(dirname, '../agent/cleanup.js');
}

/** Call it before anything else: the first process of a container does not get signals that it does not wait for. */
function untilToldToEnd(): Promise<void> {
	const { promise, resolve } = Promise.withResolvers<void>();
	const timer = setInterval(() => undefined, 3_600_000);
	for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => resolve());
	return promise.finally(() => clearInterval(timer));
}
