/**
 * What commands need from the process; tests may give their own.
 */
import { Option } from 'commander';
import type { AgentConnection, ConnectOptions } from './client.ts';
import { suggesting } from './suggest.ts';

export interface Context {
	/** Standard output. Resolves when more may be written. */
	out(text: string): Promise<void>;
	/** Standard error, one line. */
	warn(text: string): void;
	/** Connects to the socket of --socket unless said otherwise, runs, closes. */
	withAgent<T>(run: (agent: AgentConnection) => Promise<T>, options?: Partial<ConnectOptions>): Promise<T>;
	now(): Date;
	setExitCode(code: number): void;
	/** Aborted when the user interrupts. */
	readonly interrupted: AbortSignal;
}

export type ListFormat = 'table' | 'wide' | 'json' | 'yaml';

/** `-o table|wide|json` */
export function outputOption(...choices: ListFormat[]): Option {
	const list = choices.length === 0 ? ['table', 'json'] : choices;
	return new Option('-o, --output <format>', 'output format').choices(list).default('table');
}

export function namespaceOption(): Option {
	const option = new Option('-n, --namespace <name>', 'only this namespace').default('', 'all namespaces');
	return suggesting(option, 'namespaces');
}
