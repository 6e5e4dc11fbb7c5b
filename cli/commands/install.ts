import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command, Option } from 'commander';
import { DEFAULT_NAMESPACE } from '../../manifests/source/names.ts';
import type { Context } from '../context.ts';
import { CliError, EXIT } from '../exit.ts';
import type { InstallerContext } from '../install/install.ts';
import { collectWhole, parseMinorVersion, parseWaiting } from '../parse.ts';

type Installer = typeof import('../install/main.ts');

const WAIT_MS = 600_000;

interface AccessOptions {
	readonly namespace: string;
	readonly kubeconfig: string;
	readonly context: string;
	readonly dryRun?: true;
	readonly timeout: number;
}

interface InstallFlags extends AccessOptions {
	readonly values?: readonly string[];
	readonly set?: readonly string[];
	readonly kubernetesVersion?: number;
	readonly forceConflicts?: true;
	readonly resetValues?: true;
}

interface UninstallFlags extends AccessOptions {
	readonly keepNodes?: true;
	readonly keepState?: true;
}

/** Loaded when it is used. From source and from the bundle, where it is a file of its own. */
async function loadInstaller(): Promise<Installer> {
	const { dirname, filename } = import.meta;
	const file = filename.endsWith('.ts') ? join(dirname, '../install/main.ts') : join(dirname, 'install.js');
	return (await import(file)) as Installer;
}

function withAccess(command: Command): Command {
	return command
		.option('-n, --namespace <name>', 'namespace of the agents', DEFAULT_NAMESPACE)
		.addOption(new Option('--kubeconfig <file>', 'as kubectl has it').default('', 'KUBECONFIG, ~/.kube/config'))
		.addOption(new Option('--context <name>', 'of the kubeconfig').default('', 'the current one'))
		.option('--dry-run', 'print what would be done, change nothing')
		.addOption(
			new Option('--timeout <duration>', 'how long to wait for all nodes; 0 = do not wait')
				.argParser(parseWaiting)
				.default(WAIT_MS, '10m'),
		);
}

function withValues(command: Command): Command {
	return withAccess(command)
		.option('-f, --values <file>', 'values as for the Helm chart; may be repeated, - is standard input', collectWhole)
		.option('--set <key=value>', 'one value, such as config.routing=direct; may be repeated', collectWhole)
		.option('--force-conflicts', 'take over fields that somebody else has set')
		.addOption(
			new Option('--kubernetes-version <version>', 'with --dry-run: ask no API server').argParser(parseMinorVersion),
		);
}

function installerContext(context: Context, version: string): InstallerContext {
	return {
		version,
		out: (text) => context.out(text),
		say: (line) => context.warn(line),
		now: () => context.now().getTime(),
		sleep: (ms) =>
			sleep(ms, undefined, { signal: context.interrupted }).catch(() => {
				throw new CliError(EXIT.FAILURE, 'interrupted; what was done so far stays, the same command goes on');
			}),
	};
}

function readValues(file: string): string {
	try {
		return readFileSync(file === '-' ? 0 : file, 'utf8');
	} catch (cause) {
		const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
		throw new CliError(EXIT.USAGE, `cannot read values ${file}: ${why}`, { cause });
	}
}

/** Wrong values are wrong usage. */
function asUsage<T>(run: () => T): T {
	try {
		return run();
	} catch (error) {
		if (error instanceof Error && 'code' in error && error.code === 'CONFIG_INVALID')
			throw new CliError(EXIT.USAGE, error.message, { cause: error });
		throw error;
	}
}

async function runInstall(context: Context, version: string, flags: InstallFlags, upgrade: boolean): Promise<void> {
	if (flags.kubernetesVersion !== undefined && !flags.dryRun)
		throw new CliError(EXIT.USAGE, '--kubernetes-version is for --dry-run: otherwise the API server tells');
	if (flags.kubernetesVersion !== undefined && upgrade)
		throw new CliError(EXIT.USAGE, 'upgrade has to ask for the present values: leave out --kubernetes-version');
	const installer = await loadInstaller();
	const layers = asUsage(() => [
		...(flags.values ?? []).map((file) => installer.parseLayer(file, readValues(file))),
		...(flags.set ?? []).map((assignment) => installer.assignmentLayer(assignment)),
	]);
	const options = {
		...flags,
		layers,
		upgrade,
		dryRun: flags.dryRun ?? false,
		forceConflicts: flags.forceConflicts ?? false,
		resetValues: flags.resetValues ?? false,
		timeoutMs: flags.timeout,
		...(flags.kubernetesVersion !== undefined && { kubernetesMinor: flags.kubernetesVersion }),
	};
	await installer.install(options, installerContext(context, version)).catch((error: unknown) =>
		asUsage(() => {
			throw error;
		}),
	);
}

export function installCommand(context: Context, version: string): Command {
	return withValues(new Command('install'))
		.description('installs Fairlead in a cluster, or changes its values')
		.action((flags: InstallFlags) => runInstall(context, version, flags, false));
}

export function upgradeCommand(context: Context, version: string): Command {
	return withValues(new Command('upgrade'))
		.description('brings an installation to the version of this tool, with the values it has')
		.option('--reset-values', 'begin with the defaults')
		.action((flags: InstallFlags) => runInstall(context, version, flags, true));
}

export function uninstallCommand(context: Context, version: string): Command {
	return withAccess(new Command('uninstall'))
		.description('ends the agents, cleans every node and removes the objects')
		.option('--keep-nodes', 'leave the dataplane on the nodes: traffic goes on without agents')
		.option('--keep-state', 'leave what nodes remember of pods and their addresses')
		.action(async (flags: UninstallFlags) => {
			const installer = await loadInstaller();
			const options = {
				...flags,
				dryRun: flags.dryRun ?? false,
				keepNodes: flags.keepNodes ?? false,
				keepState: flags.keepState ?? false,
				timeoutMs: flags.timeout,
			};
			await installer.uninstall(options, installerContext(context, version));
		});
}
