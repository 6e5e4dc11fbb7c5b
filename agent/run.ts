/**
 * The agent: reads the configuration and runs until it is told to stop. Wiring only; main.ts starts it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { probe } from '../native/index.ts';
import { type EffectiveConfig, formatConfig, loadConfig } from './config/config.ts';
import { errorMessage, FairleadError } from './model/errors.ts';
import { FilesSource } from './sources/files/files-source.ts';
import { ClusterStore } from './sources/store.ts';
import { Agent, resolveConfig } from './wiring/agent.ts';
import { createLog } from './wiring/log.ts';

/** The folder with package.json, from source as from dist/. */
function rootDir(): string {
	const parent = join(import.meta.dirname, '..');
	return existsSync(join(parent, 'package.json')) ? parent : join(parent, '..');
}

function version(root: string): string {
	const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
	return version;
}

/** --check-config: resolves what can be resolved without changing anything. */
async function checkConfig(config: EffectiveConfig): Promise<string> {
	const store = new ClusterStore();
	const source = new FilesSource({ directory: config.values.filesDir, store });
	try {
		await source.start();
	} finally {
		source.close();
	}
	const node = store.nodes.get(config.values.nodeName);
	if (node === undefined) {
		return `${formatConfig(config)}# Node ${config.values.nodeName} is not in ${config.values.filesDir}: automatic values cannot be resolved\n`;
	}
	return formatConfig(await resolveConfig(config, node));
}

async function run(root: string, config: EffectiveConfig): Promise<void> {
	const log = createLog(config.values.logLevel, config.values.nodeName);
	const features = probe();
	const [major, minor] = features.version;
	if (major < 5 || (major === 5 && minor < 10)) {
		throw new FairleadError('KERNEL_TOO_OLD', `cannot run on kernel ${features.release}: 5.10 or later is needed`);
	}
	if (!features.btf)
		throw new FairleadError('KERNEL_TOO_OLD', 'cannot run: the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)');
	const agent = new Agent({
		config,
		version: version(root),
		features,
		objectDir: join(root, 'dist/bpf'),
		cniExecutable: join(root, 'dist/cni/fairlead-cni'),
		log,
	});
	const stop = (signal: string): void => {
		log.info({ signal }, 'stopping');
		agent.close().then(
			() => process.exit(0),
			(error) => {
				log.error({ error: errorMessage(error) }, 'stop failed');
				process.exit(1);
			},
		);
	};
	process.once('SIGTERM', stop);
	process.once('SIGINT', stop);
	await agent.start();
}

async function main(): Promise<void> {
	const root = rootDir();
	const config = loadConfig({ args: process.argv.slice(2), environment: process.env, version: version(root) });
	if ('exit' in config) {
		process.stdout.write(config.text);
		return;
	}
	if (config.checkOnly) process.stdout.write(await checkConfig(config));
	else await run(root, config);
}

main().catch((error: unknown) => {
	const code = error instanceof FairleadError ? `${error.code}: ` : '';
	process.stderr.write(`fairlead-agent: ${code}${errorMessage(error)}\n`);
	process.exit(1);
});
