/**
 * The verbs of the specification on top of the endpoint manager.
 */
import type { EndpointManager } from '../agent/endpoints/endpoint-manager.ts';
import { DEFAULT_ROUTE, GATEWAY } from '../agent/endpoints/pod-wiring.ts';
import { CniCode, CniError, toCniError } from './cni-error.ts';
import { decodeRequest } from './protocol.ts';
import { type CniRequest, parseRequest, validAttachments } from './request.ts';
import { formatError, formatPrevResult, formatResult } from './result.ts';
import { type CniVersion, isCniVersion } from './versions.ts';

/** Whether pods can be attached, in one cheap call. */
export type Readiness =
	| { readonly state: 'ready' }
	/** STATUS says 50, ADD 11. */
	| { readonly state: 'unavailable'; readonly sinceMs: number; readonly reason: string }
	/** STATUS says 51: existing pods may have limited connectivity. */
	| { readonly state: 'degraded'; readonly sinceMs: number; readonly reason: string };

export type Endpoints = Pick<EndpointManager, 'attach' | 'detach' | 'check' | 'collectGarbage'>;

export interface DispatchContext {
	readonly endpoints: Endpoints;
	readonly readiness: () => Readiness;
	/** Deadline of the verb, and loss of the caller. */
	readonly signal: AbortSignal;
}

export interface Outcome {
	readonly exitStatus: number;
	readonly stdout: string;
	/** For the log. */
	readonly request?: CniRequest;
	readonly error?: CniError;
}

/** Serves one request, given without its length. Never throws: every failure is an outcome. */
export async function serveRequest(
	body: Buffer,
	contextOf: (request: CniRequest) => DispatchContext,
): Promise<Outcome> {
	let version: CniVersion = '1.1.0';
	let request: CniRequest | undefined;
	try {
		const front = decodeRequest(body);
		version = versionOf(front.stdin) ?? version;
		request = parseRequest(front);
		const stdout = await dispatch(request, contextOf(request));
		return { exitStatus: 0, stdout, request };
	} catch (thrown) {
		const error = toCniError(thrown);
		return { exitStatus: 1, stdout: formatError(version, error), error, ...(request && { request }) };
	}
}

/** For errors found before the configuration is known to be good. */
function versionOf(stdin: string): CniVersion | undefined {
	const found = /"cniVersion"\s*:\s*"([^"\\]*)"/.exec(stdin.slice(0, 65536))?.[1];
	return found !== undefined && isCniVersion(found) ? found : undefined;
}

async function dispatch(request: CniRequest, context: DispatchContext): Promise<string> {
	switch (request.verb) {
		case 'ADD':
			return add(request, context);
		case 'DEL':
			await context.endpoints.detach(request);
			return '';
		case 'CHECK':
			await check(request, context);
			return '';
		case 'STATUS':
			requireReady(context.readiness());
			return '';
		case 'GC':
			await collectGarbage(request, context);
			return '';
	}
}

async function add(request: CniRequest, context: DispatchContext): Promise<string> {
	const readiness = context.readiness();
	if (readiness.state === 'unavailable') throw new CniError(CniCode.TRY_AGAIN, notReady(readiness));
	const { containerId, ifname, netns, allowOwnNetns, pod, config, rawPrevResult, version } = request;
	const chained = config.prevResult ? { addresses: addressesOf(request) } : undefined;
	if (chained?.addresses.length === 0) {
		throw new CniError(CniCode.INVALID_CONFIG, `network configuration: prevResult has no address on ${ifname}`);
	}
	const endpoint = await context.endpoints.attach({
		...{ containerId, ifname, netns, allowOwnNetns, pod },
		network: config.name,
		hostPorts: request.portMappings,
		signal: context.signal,
		...(chained && { chained }),
	});
	if (rawPrevResult) return formatPrevResult(version, rawPrevResult);
	return formatResult(version, endpoint, netns, { gateway: GATEWAY, defaultRoute: DEFAULT_ROUTE }, config.dns ?? {});
}

async function check(request: CniRequest, context: DispatchContext): Promise<void> {
	const { containerId, ifname, netns, allowOwnNetns } = request;
	const addresses = addressesOf(request);
	await context.endpoints.check({ containerId, ifname, netns, allowOwnNetns, addresses, signal: context.signal });
}

/** Addresses of prevResult on the requested interface: those without interface number belong to it too. At most one per family. */
function addressesOf(request: CniRequest): string[] {
	const { interfaces = [], ips = [] } = request.config.prevResult ?? {};
	const mine = ips.filter((ip) => {
		const owner = ip.interface === undefined ? undefined : interfaces[ip.interface];
		return owner === undefined || (owner.name === request.ifname && Boolean(owner.sandbox));
	});
	const byFamily = new Map<boolean, string>();
	for (const { address } of mine) {
		const isSix = address.includes(':');
		if (!byFamily.has(isSix)) byFamily.set(isSix, address);
	}
	return [...byFamily.values()];
}

async function collectGarbage(request: CniRequest, context: DispatchContext): Promise<void> {
	const valid = (validAttachments(request.config) ?? []).map(({ containerID, ifname }) => ({
		containerId: containerID,
		ifname,
	}));
	const report = await context.endpoints.collectGarbage(request.config.name, valid);
	if (report.problems.length === 0) return;
	throw new CniError(CniCode.GC_INCOMPLETE, `garbage collection is incomplete: ${report.problems.join('; ')}`);
}

function requireReady(readiness: Readiness): void {
	if (readiness.state === 'unavailable') throw new CniError(CniCode.NOT_AVAILABLE, notReady(readiness));
	if (readiness.state === 'degraded') throw new CniError(CniCode.LIMITED_CONNECTIVITY, notReady(readiness));
}

function notReady(readiness: Exclude<Readiness, { state: 'ready' }>): string {
	const since = new Date(readiness.sinceMs).toISOString();
	const what = readiness.state === 'unavailable' ? 'not ready' : 'degraded';
	return `the Fairlead agent is ${what} since ${since}: ${readiness.reason}`;
}
