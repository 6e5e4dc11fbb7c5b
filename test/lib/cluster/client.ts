/**
 * Client side of the tests: runs test/lib/programs/client.ts or curl in a place and returns what it measured.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ClientReport, ClientRequest } from '../programs/client.ts';
import { eventually, PATIENCE } from './exec.ts';
import type { Place } from './place.ts';

export type { ClientReport, ClientRequest };

const CLIENT = join(import.meta.dirname, '..', 'programs', 'client.ts');
const NODE = join(import.meta.dirname, '..', '..', '..', 'node_modules', '.bin', 'node');

/** Sends requests to an echo server (or GETs, mode `http`) from `place`; failures are counted, not thrown. */
export async function ask(
	place: Place,
	request: Partial<ClientRequest> & Pick<ClientRequest, 'mode' | 'host' | 'port'>,
	o: { cgroup?: string } = {},
): Promise<ClientReport> {
	const full: ClientRequest = { count: 1, ...request };
	const timeoutMs = 15_000 + full.count * (full.timeoutMs ?? 3000);
	const { stdout } = await place.run([NODE, CLIENT, JSON.stringify(full)], { timeoutMs, ...o });
	return JSON.parse(stdout) as ClientReport;
}

/** Traffic that goes on until `stop` is called, which returns its report. */
export interface Traffic {
	/** Resolves when the first request is about to be sent. */
	sending(): Promise<void>;
	/** Resolves when the first request has been answered. */
	flowing(): Promise<void>;
	stop(): Promise<ClientReport>;
}

/** Starts traffic that runs until stopped. `label` names its log. */
export function startTraffic(
	place: Place,
	label: string,
	request: Partial<ClientRequest> & Pick<ClientRequest, 'mode' | 'host' | 'port'>,
): Traffic {
	const full: ClientRequest = { count: 0, untilSignal: true, ...request };
	const file = join(place.dir, `traffic-${label}.log`);
	const earlier = existsSync(file) ? readFileSync(file, 'utf8').length : 0;
	const child = place.start(`traffic-${label}`, [NODE, CLIENT, JSON.stringify(full)]);
	const said = (text: string) => (): void => {
		if (!readFileSync(child.logFile, 'utf8').slice(earlier).includes(text)) throw new Error(`no ${text} yet`);
	};
	return {
		sending: () => eventually(`traffic ${label} begins`, said('first request')),
		flowing: () => eventually(`traffic ${label} flows`, said('first answer')),
		async stop() {
			await child.stop('SIGTERM', 20_000);
			const last = readFileSync(child.logFile, 'utf8').trim().split('\n').at(-1) ?? '';
			try {
				return JSON.parse(last) as ClientReport;
			} catch (cause) {
				throw new Error(`traffic ${label} ended without a report: ${last}`, { cause });
			}
		},
	};
}

/** Body of a page, by curl. */
export async function curl(place: Place, url: string, ...args: string[]): Promise<string> {
	const { stdout } = await place.run(['curl', '-sS', '--globoff', '--max-time', String(5 * PATIENCE), ...args, url]);
	return stdout;
}

/** URL of an address and port, with the brackets that IPv6 needs. */
export const urlOf = (address: string, port = 80): string =>
	`http://${address.includes(':') ? `[${address}]` : address}:${port}/`;
