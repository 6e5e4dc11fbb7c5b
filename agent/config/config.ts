/**
 * Configuration from flags, environment, file and defaults, in this precedence, with the origin of every value.
 */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { Command, CommanderError } from 'commander';
import { parse, YAMLParseError } from 'yaml';
import { errorCode, errorMessage, FairleadError } from '../model/errors.ts';
import { describeValue, parseWith } from '../model/fields.ts';
import { requireListenersApart } from './listeners.ts';
import type { Config, ConfigName } from './schema.ts';
import { CONFIG_KEYS, CONFIG_NAMES, environmentName, flagName } from './schema.ts';
import { withStandalone } from './standalone.ts';

export interface Origin {
	/** 'flag --vni', 'environment FAIRLEAD_VNI', 'file /etc/fairlead/agent.yaml', 'default' or 'automatic'. */
	readonly source: string;
	/** Why the value was chosen, for automatic ones; else ''. */
	readonly reason: string;
}

export interface EffectiveConfig {
	readonly values: Config;
	readonly origins: Readonly<Record<ConfigName, Origin>>;
	/** Configuration file that was read; '' = none. */
	readonly file: string;
	readonly checkOnly: boolean;
}

export interface ConfigSources {
	/** Arguments after the script name. */
	readonly args: readonly string[];
	readonly environment: Readonly<Record<string, string | undefined>>;
	/** Reads the configuration file; the default reads the file system. */
	readonly readFile?: (path: string) => string;
	readonly hostName?: () => string;
	readonly version?: string;
}

/** What the command line asks for instead of running. */
export interface ConfigExit {
	readonly exit: 'help' | 'version';
	readonly text: string;
}

interface Given {
	readonly source: string;
	readonly value: unknown;
}

/**
 * Reads and checks everything.
 * @returns what to print when the command line asked for help or the version
 * @throws CONFIG_INVALID naming every wrong key with its source, what was expected and what was found;
 *         CONFIG_UNREADABLE when the file cannot be read; CONFIG_CONFLICT naming keys that contradict standalone mode or
 *         each other
 */
export function loadConfig(sources: ConfigSources): EffectiveConfig | ConfigExit {
	const parsed = parseFlags(sources);
	if ('exit' in parsed) return parsed;
	const path = parsed.config ?? sources.environment.FAIRLEAD_CONFIG ?? '';
	const problems: string[] = [];
	const layers = [parsed.flags, fromEnvironment(sources.environment, problems), fromFile(path, sources, problems)];
	const values: Record<string, unknown> = {};
	const origins: Record<string, Origin> = {};
	for (const name of CONFIG_NAMES) {
		const given = layers.map((layer) => layer.get(name)).find((each) => each !== undefined);
		const source = given?.source ?? 'default';
		const result = parseWith(CONFIG_KEYS[name].schema, given === undefined ? CONFIG_KEYS[name].fallback : given.value);
		if (result.ok) values[name] = result.value;
		else for (const issue of result.issues) problems.push(formatIssue(source, name, issue.path, issue.message));
		origins[name] = { source, reason: '' };
	}
	if (problems.length > 0) {
		throw new FairleadError('CONFIG_INVALID', `configuration refused:\n${problems.map((p) => `  ${p}`).join('\n')}`, {
			problems,
		});
	}
	const config: EffectiveConfig = {
		values: values as Config,
		origins: origins as Record<ConfigName, Origin>,
		file: path,
		checkOnly: parsed.checkOnly,
	};
	requireListenersApart(config);
	return withStandalone(withNodeName(config, sources.hostName ?? hostname));
}

function formatIssue(source: string, name: string, path: string, message: string): string {
	const separator = path === '' || path.startsWith('[') ? '' : '.';
	return `${source}: ${name}${separator}${path}: ${message}`;
}

function withNodeName(config: EffectiveConfig, hostName: () => string): EffectiveConfig {
	if (config.values.nodeName !== '') return config;
	return withAutomatic(config, 'nodeName', hostName().toLowerCase(), 'the host name');
}

/** The same configuration with a value that was found out, and why. */
export function withAutomatic<K extends ConfigName>(
	config: EffectiveConfig,
	name: K,
	value: Config[K],
	reason: string,
): EffectiveConfig {
	return {
		...config,
		values: { ...config.values, [name]: value },
		origins: { ...config.origins, [name]: { source: 'automatic', reason } },
	};
}

interface Flags {
	readonly flags: ReadonlyMap<ConfigName, Given>;
	readonly config: string | undefined;
	readonly checkOnly: boolean;
}

function parseFlags(sources: ConfigSources): Flags | ConfigExit {
	const command = new Command('fairlead-agent')
		.description('Fairlead node agent')
		.allowExcessArguments()
		.exitOverride();
	let output = '';
	command.configureOutput({ writeOut: (text) => (output += text), writeErr: () => undefined });
	command.version(sources.version ?? '', '--version', 'print the version');
	command.option('--config <file>', 'configuration file (YAML); also FAIRLEAD_CONFIG');
	command.option('--check-config', 'print the effective configuration and where each value comes from, then exit');
	for (const name of CONFIG_NAMES) {
		command.option(`${flagName(name)} <value>`, `${CONFIG_KEYS[name].help} (${describeDefault(name)})`);
	}
	try {
		command.parse([...sources.args], { from: 'user' });
	} catch (thrown) {
		if (thrown instanceof CommanderError && thrown.exitCode === 0) {
			return { exit: thrown.code === 'commander.version' ? 'version' : 'help', text: output };
		}
		throw new FairleadError('CONFIG_INVALID', `command line refused: ${errorMessage(thrown).replace(/^error: /, '')}`, {
			cause: thrown,
		});
	}
	if (command.args.length > 0) {
		throw new FairleadError(
			'CONFIG_INVALID',
			`command line refused: unexpected argument ${JSON.stringify(command.args[0])}`,
		);
	}
	const options = command.opts<Record<string, unknown>>();
	const flags = new Map<ConfigName, Given>();
	for (const name of CONFIG_NAMES) {
		const text = options[name];
		if (typeof text === 'string') flags.set(name, { source: `flag ${flagName(name)}`, value: fromText(name, text) });
	}
	const config = typeof options.config === 'string' ? options.config : undefined;
	return { flags, config, checkOnly: options.checkConfig === true };
}

function describeDefault(name: ConfigName): string {
	const { fallback } = CONFIG_KEYS[name];
	return `default ${typeof fallback === 'string' ? fallback || 'empty' : JSON.stringify(fallback)}`;
}

/** Text of a flag or a variable as the value it stands for. */
function fromText(name: ConfigName, text: string): unknown {
	const { form } = CONFIG_KEYS[name];
	if (form === 'text') return text;
	if (form === 'list')
		return text
			.split(',')
			.map((part) => part.trim())
			.filter((part) => part !== '');
	try {
		return parse(text);
	} catch {
		return text;
	}
}

/** Of the CLI, or this file's own path. */
const OTHER_VARIABLES: readonly string[] = ['FAIRLEAD_CONFIG', 'FAIRLEAD_SOCKET'];

/** What Kubernetes puts into every container for a Service named fairlead or fairlead-something. */
const SERVICE_LINK = /_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT$|_PORT_\d+_(TCP|UDP|SCTP)(_|$)/;

function fromEnvironment(environment: ConfigSources['environment'], problems: string[]): Map<ConfigName, Given> {
	const names = new Map(CONFIG_NAMES.map((name) => [environmentName(name), name]));
	const given = new Map<ConfigName, Given>();
	for (const [variable, text] of Object.entries(environment)) {
		if (!variable.startsWith('FAIRLEAD_') || text === undefined || OTHER_VARIABLES.includes(variable)) continue;
		const name = names.get(variable);
		if (name !== undefined) given.set(name, { source: `environment ${variable}`, value: fromText(name, text) });
		else if (!SERVICE_LINK.test(variable))
			problems.push(`environment: ${variable}: unknown key${suggest(variable, [...names.keys()])}`);
	}
	return given;
}

function fromFile(path: string, sources: ConfigSources, problems: string[]): Map<ConfigName, Given> {
	const given = new Map<ConfigName, Given>();
	if (path === '') return given;
	const content = readYaml(path, sources.readFile ?? ((file) => readFileSync(file, 'utf8')));
	if (content === null || content === undefined) return given;
	if (typeof content !== 'object' || Array.isArray(content)) {
		problems.push(`file ${path}: expected keys and values, got ${describeValue(content)}`);
		return given;
	}
	for (const [name, value] of Object.entries(content)) {
		if (isName(name)) given.set(name, { source: `file ${path}`, value });
		else problems.push(`file ${path}: ${name}: unknown key${suggest(name, CONFIG_NAMES)}`);
	}
	return given;
}

function isName(name: string): name is ConfigName {
	return Object.hasOwn(CONFIG_KEYS, name);
}

function readYaml(path: string, readFile: (path: string) => string): unknown {
	try {
		return parse(readFile(path));
	} catch (thrown) {
		const why = thrown instanceof YAMLParseError ? yamlFault(thrown) : (errorCode(thrown) ?? errorMessage(thrown));
		throw new FairleadError('CONFIG_UNREADABLE', `cannot read configuration file ${path}: ${why}`, { cause: thrown });
	}
}

/** What is wrong and where, without the excerpt that follows it. */
function yamlFault({ code, message }: YAMLParseError): string {
	if (code === 'MULTIPLE_DOCS') return 'it holds more than one document';
	return (message.split('\n', 1)[0] ?? message).replace(/:$/, '');
}

/** The closest name, when one is close enough to be meant. */
function suggest(name: string, names: readonly string[]): string {
	const plain = (text: string): string => text.toLowerCase().replace(/[^a-z0-9]/g, '');
	const close = names
		.map((each) => ({ each, distance: editDistance(plain(name), plain(each)) }))
		.sort((a, b) => a.distance - b.distance)[0];
	return close !== undefined && close.distance <= 2 ? `; did you mean ${close.each}?` : '';
}

function editDistance(a: string, b: string): number {
	let row = Array.from({ length: b.length + 1 }, (_, i) => i);
	for (let i = 1; i <= a.length; i++) {
		const next = [i];
		for (let j = 1; j <= b.length; j++) {
			const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
			next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
		}
		row = next;
	}
	return row[b.length] ?? 0;
}

/** The text of --check-config: every value, where it comes from, and why. Itself a valid configuration file. */
export function formatConfig(config: EffectiveConfig): string {
	const lines = CONFIG_NAMES.map((name) => {
		const { source, reason } = config.origins[name];
		const value = `${name}: ${JSON.stringify(config.values[name])}`;
		return { value, why: reason === '' ? source : `${source}: ${reason}` };
	});
	const width = Math.min(60, Math.max(...lines.map(({ value }) => value.length)));
	return `${lines.map(({ value, why }) => `${value.padEnd(width)}  # ${why}`).join('\n')}\n`;
}
