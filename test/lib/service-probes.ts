/**
 * Tables of probes: who must answer which client under which address, and with which source address the server must see it.
 * All probes of one client run in one process, so that hundreds cost a second or two.
 */
import { PATIENCE } from './cluster/exec.ts';
import type { Place } from './cluster/place.ts';
import type { ProbeReport, ProbeRequest } from './programs/probe-client.ts';

const NODE = `${import.meta.dirname}/../../node_modules/.bin/node`;
const CLIENT = `${import.meta.dirname}/programs/probe-client.ts`;

export type { ProbeReport, ProbeRequest };

/** What must come of a probe: `SERVER from ADDRESS` (any of several, or none if others may be asked in vain), refused at once, or no answer at all. */
export type Expectation = { readonly answers: readonly string[]; readonly orDropped?: true } | 'refused' | 'dropped';

export interface ProbeCase {
	/** Which row of a table it belongs to. */
	readonly group: string;
	readonly mode: ProbeRequest['mode'];
	readonly host: string;
	readonly port: number;
	readonly count?: number;
	/** Only for a human who reads a failure. */
	readonly about: string;
	readonly expected: Expectation;
}

/** An answer that does not come: long enough for a slow machine when one is expected, short when none is. */
const ANSWER_MS = 5000 * PATIENCE;
const SILENCE_MS = 1200;

/** Sends raw probes from a place. */
export async function probe(
	place: Place,
	requests: readonly ProbeRequest[],
	o: { cgroup?: string } = {},
): Promise<ProbeReport[]> {
	const input = JSON.stringify(requests);
	const { stdout } = await place.run([NODE, CLIENT], { input, timeoutMs: 100_000, ...o });
	return JSON.parse(stdout) as ProbeReport[];
}

function isAsExpected(report: ProbeReport, each: ProbeCase): boolean {
	const { expected } = each;
	if (expected === 'refused') return report.outcomes.join() === 'ECONNREFUSED';
	if (expected === 'dropped') return report.outcomes.join() === 'TIMEOUT';
	const peersRight = report.peers.every((peer) => peer === `${each.host} ${each.port}`);
	const answers = expected.orDropped ? [...expected.answers, 'TIMEOUT'] : expected.answers;
	return peersRight && report.outcomes.every((outcome) => answers.includes(outcome));
}

function textOf(expected: Expectation): string {
	if (typeof expected === 'string') return expected;
	return [...expected.answers, ...(expected.orDropped ? ['nobody'] : [])].join(' or ');
}

/** Where source ports begin: they are neither ephemeral ones nor those of any server or translation here. */
export const FIRST_PORT = 2000;

/**
 * Runs all cases from one place, each request from a port of its own (from `firstPort`): two flows of one client that end at the
 * same backend, one through a service and one without, would be one for whoever sees only the backend's side. Returns what
 * was not as expected, as text, by group.
 */
export async function runCases(
	place: Place,
	cases: readonly ProbeCase[],
	o: { cgroup?: string; firstPort?: number } = {},
): Promise<Map<string, string[]>> {
	let localPort = o.firstPort ?? FIRST_PORT;
	const requests = cases.map(({ mode, host, port, count: wanted, expected }) => {
		const count = wanted ?? (expected === 'dropped' ? 1 : 2);
		const mayBeSilent = expected === 'dropped' || (typeof expected === 'object' && expected.orDropped);
		const timeoutMs = mayBeSilent ? SILENCE_MS : ANSWER_MS;
		const request = { mode, host, port, count, timeoutMs, localPort };
		localPort += count;
		return request;
	});
	const reports = await probe(place, requests, o);
	const failures = new Map<string, string[]>(cases.map(({ group }) => [group, []]));
	cases.forEach((each, i) => {
		const report = reports[i] ?? { outcomes: ['no report'], peers: [] };
		if (isAsExpected(report, each)) return;
		const got = `${report.outcomes.join(', ')} (peer ${report.peers.join(', ')})`;
		const target = `${each.about}: ${each.mode} to ${each.host} port ${each.port}`;
		failures.get(each.group)?.push(`${target}: expected ${textOf(each.expected)}, got ${got}`);
	});
	return failures;
}
