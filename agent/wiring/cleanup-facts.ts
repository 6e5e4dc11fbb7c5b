/** Looks at a node for what Fairlead has made on it. Changes nothing. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { basename, join } from 'node:path';
import { asidePath } from '../../cni/install.ts';
import { netlinkRequest } from '../../native/index.ts';
import type { Config } from '../config/schema.ts';
import { attachmentSchema, ownerOf } from '../endpoints/attachment.ts';
import { aggregateDevice, aggregateNow } from '../kernel/aggregates.ts';
import { Links } from '../kernel/links.ts';
import { Netlink } from '../kernel/netlink.ts';
import { Sysctl } from '../kernel/sysctl.ts';
import { readRemembered } from '../kernel/sysctl-record.ts';
import type { CleanupFacts, CleanupPaths } from './cleanup-plan.ts';
import { SYSCTL_RECORD } from './dataplane.ts';
import { bootId } from './machine.ts';

export interface FoundAttachment {
	readonly hostIfname: string;
	/** 'namespace/name' of the pod, or the container id. */
	readonly owner: string;
	/** Its network namespace is still there. */
	readonly alive: boolean;
}

type PathConfig = Pick<Config, 'bpffsDir' | 'runDir' | 'stateDir' | 'cniBinDir' | 'cniConfDir' | 'cniConfName'>;

export function cleanupPaths(config: PathConfig): CleanupPaths {
	return {
		conflist: join(config.cniConfDir, config.cniConfName),
		asideConflist: asidePath({ confDir: config.cniConfDir, confName: config.cniConfName }),
		executable: join(config.cniBinDir, 'fairlead-cni'),
		bpffsDir: config.bpffsDir,
		runDir: config.runDir,
		stateDir: config.stateDir,
	};
}

export async function collectCleanupFacts(paths: CleanupPaths): Promise<CleanupFacts> {
	const netlink = new Netlink({ request: netlinkRequest });
	const sysctl = new Sysctl();
	const linksDir = join(paths.bpffsDir, 'links');
	const remembered = readRemembered(join(paths.stateDir, SYSCTL_RECORD), bootId());
	const links = await netlink.links();
	const now = (path: string): string | undefined => {
		const device = aggregateDevice(path);
		return device === undefined ? sysctl.read(path.split('/')) : aggregateNow(device, links);
	};
	return {
		links,
		routes: [...(await netlink.routes(4)), ...(await netlink.routes(6))],
		neighbours: [...(await netlink.neighbours(4)), ...(await netlink.neighbours(6))],
		attached: existsSync(linksDir) ? new Links(linksDir, true).names() : [],
		attachments: attachmentsIn(join(paths.stateDir, 'attachments')),
		settings: remembered.map((each) => ({ ...each, now: now(each.path) })),
		paths: Object.values(paths).filter((path) => existsSync(path)),
		otherConfigurations: otherConfigurations(paths.conflist),
	};
}

/** Names in a directory, sorted; empty when there is none. */
function entries(directory: string): string[] {
	return existsSync(directory) ? readdirSync(directory).sort() : [];
}

/** Records that cannot be read name no pod; their interfaces are found by name. */
function attachmentsIn(directory: string): FoundAttachment[] {
	return entries(directory)
		.filter((name) => name.endsWith('.json'))
		.flatMap((name) => {
			try {
				const record = attachmentSchema.parse(JSON.parse(readFileSync(join(directory, name), 'utf8')));
				const alive = record.bootId === bootId() && existsSync(record.netns.path);
				return [{ hostIfname: record.hostIfname, owner: ownerOf(record), alive }];
			} catch {
				return [];
			}
		});
}

function otherConfigurations(conflist: string): string[] {
	const directory = join(conflist, '..');
	return entries(directory)
		.filter((name) => /\.(conf|conflist|json)$/.test(name) && name !== basename(conflist))
		.map((name) => join(directory, name));
}

/** An agent would make everything anew. */
export function isAgentRunning(runDir: string): Promise<boolean> {
	const { promise, resolve } = Promise.withResolvers<boolean>();
	const socket = connect(join(runDir, 'agent.sock'));
	socket.once('connect', () => resolve(true));
	socket.once('error', () => resolve(false));
	return promise.finally(() => socket.destroy());
}
