/** Loads and attaches every program with each set of constants that changes what the verifier gets to see. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type DatapathSettings, openDatapath } from '../../agent/kernel/datapath.ts';
import { errorMessage, FairleadError } from '../../agent/model/errors.ts';
import { ifindexOf, type KernelFeatures } from '../../native/index.ts';
import { SMALL_MAPS, settingsOf } from '../lib/datapath-settings.ts';
import { verifiedInstructions } from '../lib/verified-instructions.ts';
import { tell } from './report.ts';

interface OptionSet {
	readonly title: string;
	readonly settings?: Partial<DatapathSettings>;
	/** Claim that the kernel has less than it has. */
	readonly features?: Partial<KernelFeatures>;
	readonly tc?: 'auto' | 'clsact';
	/** Load once more and swap, as after a change of the configuration. */
	readonly replace?: boolean;
	/** Part of `npm test`, which has no time for all. */
	readonly short?: boolean;
}

const BPFFS = '/sys/fs/bpf/options';
const CGROUP = '/sys/fs/cgroup/options';
const LOG_LINES = 30;
const none = new Uint8Array(16);
const noV4 = { nodeAddr4: none, podNet4: none, podMask4: none, masquerade4: 0 };
const noV6 = { nodeAddr6: none, podNet6: none, podMask6: none, masquerade6: 0 };
const noMasquerade = { masquerade4: 0, masquerade6: 0, snatPortMin: 0, snatPortMax: 0 };
const noTunnel = { overlayIfindex: 0, overlayMac: new Uint8Array(6) };

const OPTION_SETS: readonly OptionSet[] = [
	{ title: 'everything on', replace: true },
	{ title: 'attached by clsact filters', tc: 'clsact', replace: true },
	{ title: 'no socket hooks', settings: { sockLb: 0 } },
	{ title: 'no masquerade', settings: noMasquerade },
	{ title: 'no tunnel', settings: noTunnel },
	{ title: 'no events', settings: { events: 0 } },
	{ title: 'direct server return by IP in IP', settings: { northSouth: 1 }, short: true },
	{ title: 'direct server return by VXLAN', settings: { northSouth: 2 } },
	{ title: 'direct server return by servers, in IP in IP', settings: { northSouth: 3 } },
	{ title: 'direct server return by servers on the link', settings: { northSouth: 4 } },
	{ title: 'IPv4 only', settings: noV6 },
	{ title: 'IPv6 only', settings: noV4 },
	{
		title: 'nothing on',
		settings: { sockLb: 0, events: 0, hostIfindex: 0, ...noMasquerade, ...noTunnel },
	},
	{
		title: 'without what came after 5.10',
		short: true,
		features: { version: [5, 10, 0], bpfSetRetval: false, tcx: false, xdpFrags: false },
	},
];

const ip = (command: string): void => void execFileSync('ip', command.split(' '), { timeout: 20_000, stdio: 'pipe' });

/** Tries all of them, or those of `npm test`; a failure is told, not thrown. */
export async function tryOptions(features: KernelFeatures, short: boolean): Promise<void> {
	for (const set of OPTION_SETS.filter((each) => !short || each.short)) {
		try {
			tell('pass', `${set.title}: ${await tryOne(set, { ...features, ...set.features })}`);
		} catch (error) {
			const log = error instanceof FairleadError && typeof error.fields.log === 'string' ? error.fields.log : '';
			const end = log.trimEnd().split('\n').slice(-LOG_LINES).join('\n');
			tell('fail', `${set.title}: ${errorMessage(error)}\n${end}`);
		}
	}
}

async function tryOne(set: OptionSet, features: KernelFeatures): Promise<string> {
	ip('link add uplink type veth peer name uplink_peer');
	ip('link add pod type veth peer name pod_peer');
	ip('link add host type veth peer name host_peer');
	ip('link add overlay type vxlan external dstport 8472');
	mkdirSync(CGROUP, { recursive: true });
	try {
		const devices = { uplink: ifindexOf('uplink'), overlay: ifindexOf('overlay'), host: ifindexOf('host') };
		const settings = { ...settingsOf(devices), ...set.settings };
		const datapath = await openDatapath({
			objectDir: join(import.meta.dirname, '../../dist/bpf'),
			bpffsDir: BPFFS,
			cgroupRoot: CGROUP,
			settings,
			mapSizes: SMALL_MAPS,
			features,
			tc: set.tc ?? 'auto',
			xdp: true,
		});
		try {
			const { attached, failed } = await datapath.activate({
				uplinks: [ifindexOf('uplink')],
				...(settings.overlayIfindex === 0 ? {} : { overlay: settings.overlayIfindex }),
				...(settings.hostIfindex === 0 ? {} : { host: settings.hostIfindex, hostPeer: ifindexOf('host_peer') }),
				endpoints: [{ ifindex: ifindexOf('pod'), pinName: 'pod' }],
				xdp: 'native',
			});
			if (failed.length > 0) throw new Error(failed.map((each) => each.message).join('; '));
			if (set.replace) await datapath.reload(settings);
			return `${attached} attached${set.replace ? ' and replaced' : ''}${verified()}`;
		} finally {
			datapath.close();
		}
	} finally {
		for (const name of ['uplink', 'pod', 'host', 'overlay']) ip(`link del ${name}`);
		rmSync(BPFFS, { recursive: true, force: true });
		rmdirSync(CGROUP);
	}
}

function verified(): string {
	const counts = [...verifiedInstructions().values()];
	const total = counts.reduce((sum, count) => sum + count, 0);
	return total === 0 ? '' : `; verifier: ${total} instructions, at most ${Math.max(...counts)} in one program`;
}
