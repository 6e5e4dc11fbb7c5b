/**
 * The self-test on this machine: an empty network namespace is attached as a pod is, and the node knocks at it.
 */
import { closeSync } from 'node:fs';
import { createConnection } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { IpcacheKey } from '../../native/abi/generated.ts';
import { createNetns } from '../../native/index.ts';
import type { Config } from '../config/schema.ts';
import { forgetAddresses } from '../kernel/ct-forget.ts';
import { isLinkOf } from '../kernel/datapath.ts';
import { hookQueries, inspectHooks } from '../kernel/hook-state.ts';
import { type Address, addressBytes } from '../model/address.ts';
import { errorCode, errorMessage } from '../model/errors.ts';
import { type Probe, runSelfTest, type SelfTestParts, type SelfTestResult } from '../node/self-test.ts';
import { flowTables } from './collector.ts';
import type { Dataplane } from './dataplane.ts';
import type { Pods } from './pods.ts';
import type { ServicePlanner } from './services.ts';

export interface SelfTestOptions {
	readonly config: Config;
	readonly dataplane: Dataplane;
	readonly pods: Pods;
	/** The kernel has tcx. */
	readonly useTcx: boolean;
	readonly services: ServicePlanner;
}

export interface AwaitOptions {
	readonly test: () => Promise<SelfTestResult>;
	readonly closed: () => boolean;
	/** Before each pause. */
	readonly onFailed: (failures: readonly string[]) => void;
	readonly sleep?: (ms: number) => Promise<unknown>;
}

/** Container id of the probe; pods have others. */
const PROBE = { containerId: 'fairlead-self-test', ifname: 'eth0' } as const;
/** TCPMUX: nobody listens in a namespace without processes. */
const CLOSED_PORT = 1;
const KNOCK_MS = 5000;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;
/** The node can serve the pods it has, but no further one: no reason to take it away from the cluster. */
const NODE_IS_FULL = ['ADDRESS_EXHAUSTED', 'ADDRESS_COOLING', 'ENDPOINT_LIMIT'];

/** Repeats the test until it passes. @returns undefined when the agent is closed before */
export async function awaitSelfTest(options: AwaitOptions): Promise<SelfTestResult | undefined> {
	let pauseMs = FIRST_PAUSE_MS;
	while (!options.closed()) {
		const result = await options.test().catch((error: unknown): SelfTestResult => {
			return { failures: [errorMessage(error)], skipped: '' };
		});
		if (result.failures.length === 0) return result;
		options.onFailed(result.failures);
		await (options.sleep ?? sleep)(pauseMs);
		pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
	}
	return undefined;
}

/** One run; see agent/node/self-test.ts for what it proves. */
export function testNode(options: SelfTestOptions): Promise<SelfTestResult> {
	const { config, dataplane, services, useTcx } = options;
	const { datapath, netlink, facts, routing } = dataplane;
	const further = facts.moreUplinks.map(({ ifindex }) => ifindex);
	const parts: SelfTestParts = {
		inspect: () => {
			// without one of those the node is still good for pods
			const hooks = datapath.hooks().filter(({ name }) => !isLinkOf(name, further));
			return inspectHooks(hooks, hookQueries(netlink), useTcx);
		},
		roles: [
			...['uplink', 'host_device'],
			...(routing.plan.overlay === null ? [] : ['overlay']),
			...(config.socketLb ? ['cgroup'] : []),
		],
		missing: () => [
			...facts.addresses
				.filter((address) => datapath.kernel.mapGet('ipcache', ipcacheKey(address)) === undefined)
				.map((address) => `${address} is not in the table of peers`),
			...(services.reconciler.usage() === undefined ? ['the table of services is not written'] : []),
		],
		probe: async () => (config.standalone ? '' : attachProbe(options)),
		knock,
	};
	return runSelfTest(parts);
}

function ipcacheKey(address: Address): Uint8Array {
	return IpcacheKey.encode({ addr: addressBytes(address) });
}

async function attachProbe({ dataplane, pods, config }: SelfTestOptions): Promise<Probe | string> {
	await pods.detach(PROBE); // of an attempt before
	const fd = await createNetns();
	try {
		const netns = `/proc/self/fd/${fd}`;
		const signal = AbortSignal.timeout(config.addTimeoutMs);
		const endpoint = await pods.attach({ ...PROBE, network: 'self-test', netns, pod: null, hostPorts: [], signal });
		const end = async (): Promise<readonly string[]> => {
			try {
				return await seenFlows(dataplane, endpoint.addresses);
			} finally {
				await pods.detach(PROBE);
				closeSync(fd);
			}
		};
		return { addresses: endpoint.addresses, end };
	} catch (error) {
		closeSync(fd);
		if (NODE_IS_FULL.includes(errorCode(error) ?? '')) return errorMessage(error);
		throw error;
	}
}

/** Addresses that have entries in the conntrack table, which are removed. */
async function seenFlows({ datapath }: Dataplane, addresses: readonly string[]): Promise<string[]> {
	const seen: string[] = [];
	for (const address of addresses) {
		const { deleted } = await forgetAddresses(flowTables(datapath), [addressBytes(address)]);
		if (deleted > 0) seen.push(address);
	}
	return seen;
}

/** @returns '' when the connection was refused by the other side */
function knock(address: string): Promise<string> {
	const { promise, resolve } = Promise.withResolvers<string>();
	const socket = createConnection({ host: address, port: CLOSED_PORT });
	const timer = setTimeout(() => {
		socket.destroy();
		resolve(`nothing for ${KNOCK_MS} ms`);
	}, KNOCK_MS);
	socket.on('connect', () => resolve('somebody listens there'));
	socket.on('error', (error) => resolve(errorCode(error) === 'ECONNREFUSED' ? '' : errorMessage(error)));
	return promise.finally(() => {
		clearTimeout(timer);
		socket.destroy();
	});
}
