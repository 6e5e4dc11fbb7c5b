/**
 * The agent: reads the configuration and runs until it is told to stop. Wiring only; main.ts starts it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type KernelFeatures, probe } from '../native/index.ts';
import { type EffectiveConfig, formatConfig, loadConfig } from './config/config.ts';
import { errorCode, errorMessage, FairleadError } from './model/errors.ts';
import type { SourceProblem } from './sources/problem.ts';
import { ClusterStore } from './sources/store.ts';
import { Agent } from './wiring/agent.ts';
import { createLog } from './wiring/log.ts';
import { resolveConfig } from './wiring/resolve-config.ts';
import { createSource, formatProblem } from './wiring/source.ts';

/** The folder with package.json, from source as from dist/. */
function rootDir(): string {
	const parent = join(import.meta.dirname, '..');
	return existsSync(join(parent, 'package.json')) ? parent : join(parent, '..');
}

function version(root: string): string {
	const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
	return version;
}

/** How long --check-config waits for an API server. */
const CHECK_MS = 10_000;

/** --check-config: resolves what can be resolved without changing anything. */
async function checkConfig(config: EffectiveConfig): Promise<string> {
	const store = new ClusterStore();
	const { values } = config;
	let problems: readonly SourceProblem[] = [];
	const source = createSource({
		config: values,
		store,
		log: createLog('silent', values.nodeName),
		onProblems: (list) => {
			problems = list;
		},
	});
	try {
		await Promise.race([source.start(), sleep(CHECK_MS, undefined, { ref: false })]);
	} finally {
		source.close();
	}
	const node = store.nodes.get(values.nodeName);
	if (node === undefined) {
		const where = values.source === 'files' ? values.filesDir : 'what the API server tells';
		const reasons = values.source === 'files' ? [] : problems.map((problem) => `# ${formatProblem(problem)}\n`);
		return `${formatConfig(config)}# Node ${values.nodeName} is not in ${where}: automatic values cannot be resolved\n${reasons.join('')}`;
	}
	return formatConfig(await resolveConfig(config, node));
}

/** @throws with what to do when the process may not ask */
function probeKernel(): KernelFeatures {
	try {
		return probe();
	} catch (cause) {
		if (errorCode(cause) !== 'EPERM') throw cause;
		throw new Error(`${errorMessage(cause)}; run it as root, in a container with CAP_SYS_ADMIN and CAP_NET_ADMIN`, {
			cause,
		});
	}
}

async function run(root: string, config: EffectiveConfig): Promise<void> {
	const log = createLog(config.values.logLevel, config.values.nodeName);
	const features = probeKernel();
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
