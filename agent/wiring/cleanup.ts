/** Takes away what Fairlead has made on a node. Each step is tried whatever became of the others; doing it again does the rest. */
import { existsSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { netlinkRequest } from '../../native/index.ts';
import type { Config } from '../config/schema.ts';
import { aggregateDevice, restoreAggregate } from '../kernel/aggregates.ts';
import { GracePeriods } from '../kernel/grace-periods.ts';
import { Links } from '../kernel/links.ts';
import { deleteLink, deleteNeighbour, deleteRoute, Netlink, type RouteInfo } from '../kernel/netlink.ts';
import { Sysctl } from '../kernel/sysctl.ts';
import type { RememberedSetting } from '../kernel/sysctl-record.ts';
import { errorCode, errorMessage, FairleadError } from '../model/errors.ts';
import { cleanupPaths, collectCleanupFacts, isAgentRunning } from './cleanup-facts.ts';
import { type CleanupAction, type CleanupPaths, type CleanupPlan, formatAction, planCleanup } from './cleanup-plan.ts';
import { bootId } from './machine.ts';

export interface CleanupOptions {
	readonly config: Config;
	/** Also what is in the state directory. */
	readonly withState: boolean;
	/** After each step, and once for each note. */
	readonly say: (line: string) => void;
}

/** What there is to do. Changes nothing. */
export async function prepareCleanup({ config, withState }: Omit<CleanupOptions, 'say'>): Promise<CleanupPlan> {
	const paths = cleanupPaths(config);
	return planCleanup(await collectCleanupFacts(paths), paths, withState);
}

/**
 * Does it.
 * @returns the steps that failed, with why
 * @throws FairleadError SOCKET_BUSY when an agent is running
 */
export async function cleanUp(o: CleanupOptions): Promise<readonly string[]> {
	const { config, say } = o;
	if (await isAgentRunning(config.runDir)) {
		throw new FairleadError(
			'SOCKET_BUSY',
			`cannot clean up: an agent serves ${join(config.runDir, 'agent.sock')} and would make everything anew; stop it first`,
		);
	}
	const { actions, notes } = await prepareCleanup(o);
	// a killed agent may have left the switch on
	if (existsSync(config.runDir)) {
		new GracePeriods({ markerPath: join(config.runDir, 'rcu-expedited'), bootId: bootId() }).close();
	}
	const failed: string[] = [];
	const tools = new CleanupTools(cleanupPaths(config));
	for (const action of actions) {
		const what = formatAction(action);
		try {
			await tools.carryOut(action);
			say(what);
		} catch (error) {
			const problem = `cannot ${what}: ${errorMessage(error)}`;
			say(problem);
			failed.push(problem);
		}
	}
	for (const note of notes) say(note);
	return failed;
}

class CleanupTools {
	readonly #paths: CleanupPaths;
	readonly #netlink = new Netlink({ request: netlinkRequest });

	constructor(paths: CleanupPaths) {
		this.#paths = paths;
	}

	async #restore({ path, found }: RememberedSetting): Promise<void> {
		const device = aggregateDevice(path);
		if (device === undefined) new Sysctl().apply([{ path: path.split('/'), value: found }]);
		else await this.#netlink.apply([restoreAggregate(device, found)]);
	}

	async carryOut(action: CleanupAction): Promise<void> {
		switch (action.kind) {
			case 'remove':
				removeOwn(action.path, this.#paths);
				return;
			case 'delete-link':
				await this.#netlink.apply([{ ...deleteLink({ name: action.name }), tolerate: ['ENODEV'] }]);
				return;
			case 'detach':
				new Links(join(this.#paths.bpffsDir, 'links'), true).detach(action.name);
				return;
			case 'delete-route':
				await this.#netlink.apply([{ ...deleteRoute(specOf(action.route)), tolerate: ['ESRCH', 'ENODEV'] }]);
				return;
			case 'delete-neighbour':
				await this.#netlink.apply([{ ...deleteNeighbour(action.neighbour), tolerate: ['ENOENT', 'ENODEV'] }]);
				return;
			case 'restore':
				await this.#restore(action.setting);
		}
	}
}

/** Directories may be mounts of a container: then what is in them goes. Of the run directory only what is ours does. */
function removeOwn(path: string, { runDir, stateDir }: CleanupPaths): void {
	const ours = path === runDir ? ['agent.sock', 'cni.sock', 'rcu-expedited'] : undefined;
	if (ours === undefined && path !== stateDir) {
		rmSync(path, { recursive: true, force: true });
		return;
	}
	for (const name of ours ?? readdirSync(path)) rmSync(join(path, name), { recursive: true, force: true });
	try {
		rmdirSync(path);
	} catch (error) {
		// a mount, below a root that cannot be written: nothing more can be done from inside
		if (!['EBUSY', 'EROFS', 'ENOTEMPTY'].includes(errorCode(error) ?? '')) throw error;
	}
}

const UNREACHABLE = 7;

function specOf(route: RouteInfo) {
	const unreachable = route.type === UNREACHABLE;
	return {
		dst: route.dst,
		table: route.table,
		...(unreachable && { type: 'unreachable' as const }),
		...(!unreachable && route.ifindex !== undefined && { ifindex: route.ifindex }),
		...(route.gateway !== undefined && { gateway: route.gateway }),
		...(route.priority !== undefined && { priority: route.priority }),
	};
}
