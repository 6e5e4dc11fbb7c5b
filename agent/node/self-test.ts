/**
 * Proof that pods can be attached, before the cluster is told so:
 *   1. at every place that the configuration calls for, our program runs;
 *   2. the tables have been written: the services, and the node's own addresses among the peers;
 *   3. a real attachment works: a network namespace is attached as a pod is, the node connects to a closed port of it, and the
 *      refusal comes back, in each family. The flow is in the conntrack table: it went through the programs, not around them.
 */
import type { WatchedHook } from './watchdog.ts';

/** A namespace that is attached as a pod is. */
export interface Probe {
	readonly addresses: readonly string[];
	/** Ends it. @returns which of the addresses the programs have seen flows of */
	end(): Promise<readonly string[]>;
}

export interface SelfTestParts {
	readonly inspect: () => Promise<readonly WatchedHook[]>;
	/** What attachments begin with that must be there: 'uplink', 'host_device', … */
	readonly roles: readonly string[];
	/** What the tables lack that every node needs; a service that finds no room is not among it. */
	readonly missing: () => readonly string[];
	/** @returns why none can be made although nothing is broken: no address is free; '' = there never are pods */
	readonly probe: () => Promise<Probe | string>;
	/** Connects to a port where nobody listens. @returns '' when the other side refused it, else what happened */
	readonly knock: (address: string) => Promise<string>;
}

export interface SelfTestResult {
	/** Empty = passed. */
	readonly failures: readonly string[];
	/** Part of the test that could not be made, and why; '' = all of it was. */
	readonly skipped: string;
}

/** Failures are values; throws only what nobody foresaw. */
export async function runSelfTest(parts: SelfTestParts): Promise<SelfTestResult> {
	const failures = [...checkHooks(await parts.inspect(), parts.roles), ...parts.missing()];
	// a probe would fail for the same reasons, with less to say
	if (failures.length > 0) return { failures, skipped: '' };
	const probe = await parts.probe();
	if (typeof probe === 'string') return { failures: [], skipped: probe };
	return { failures: await send(probe, parts.knock), skipped: '' };
}

function checkHooks(hooks: readonly WatchedHook[], roles: readonly string[]): string[] {
	const failures = hooks
		.filter(({ state, name }) => state !== 'attached' && !name.startsWith('pod_'))
		.map(({ name, state }) => (state === 'gone' ? `${name}: there is no such place` : `${name}: not attached`));
	for (const role of roles) {
		if (!hooks.some(({ name }) => name.startsWith(`${role}_`))) failures.push(`nothing is attached at ${role}`);
	}
	return failures;
}

async function send(probe: Probe, knock: SelfTestParts['knock']): Promise<string[]> {
	const answers = await Promise.all(probe.addresses.map(knock));
	const seen = new Set(await probe.end());
	return probe.addresses.flatMap((address, at) => {
		if (answers[at] !== '') return [`no answer from a probe at ${address}: ${answers[at]}`];
		return seen.has(address) ? [] : [`the answer of a probe at ${address} did not pass the programs`];
	});
}
