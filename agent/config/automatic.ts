/**
 * Values that depend on the machine: pure choices from facts, each with its reason.
 */
import type { Address } from '../model/address.ts';
import { cidrContains, cidrsOverlap, familyOf } from '../model/address.ts';
import { FairleadError } from '../model/errors.ts';
import type { UplinkFacts } from '../model/node-facts.ts';
import { chooseBigTcp } from '../plan/big-tcp.ts';
import { VXLAN_OVERHEAD } from '../plan/routing.ts';
import type { EffectiveConfig } from './config.ts';
import { withAutomatic } from './config.ts';
import type { Config } from './schema.ts';

export interface MachineFacts {
	readonly uplink: { readonly name: string; readonly mtu: number };
	/** Why this uplink, from whoever chose it. */
	readonly uplinkReason: string;
	/** Names of the further uplinks that there are, and why these and no others. */
	readonly moreUplinks: readonly string[];
	readonly moreUplinksReason: string;
	/** All of them, with what they can send. */
	readonly uplinks: readonly UplinkFacts[];
	/** Node addresses; the first one is the outer address of tunnels. */
	readonly addresses: readonly Address[];
	/** Pod CIDRs of the own Node object. */
	readonly podCidrs: readonly string[];
	/** net.ipv4.ip_local_port_range */
	readonly localPorts: PortRange;
	/** net.ipv4.ip_local_reserved_ports */
	readonly reservedPorts: readonly PortRange[];
	/** Where cgroup v2 is mounted; undefined = nowhere. */
	readonly cgroup2: string | undefined;
}

export interface PortRange {
	readonly min: number;
	readonly max: number;
}

/** The API server's default service-node-port-range. */
export const NODE_PORTS: PortRange = { min: 30000, max: 32767 };

/** Below are well-known services, from here to 11000 those of Kubernetes itself (10248–10259). */
const FIRST_SNAT_PORT = 11000;
const FEWEST_SNAT_PORTS = 1024;

/**
 * Replaces `auto` by values.
 * @throws CONFIG_CONFLICT when no value can be chosen or a configured one contradicts the machine
 */
export function resolveAutomatic(config: EffectiveConfig, machine: MachineFacts): EffectiveConfig {
	const { values } = config;
	let resolved = config;
	if (values.uplink === 'auto') {
		resolved = withAutomatic(resolved, 'uplink', machine.uplink.name, machine.uplinkReason);
	}
	resolved = resolveMoreUplinks(resolved, machine);
	if (values.mtu === 'auto') resolved = resolveMtu(resolved, machine);
	if (values.bigTcp === 'auto') {
		const { on, reason } = chooseBigTcp(values, machine.uplinks);
		resolved = withAutomatic(resolved, 'bigTcp', on, reason);
	}
	if (values.podCidrs.length === 0 && machine.podCidrs.length > 0) {
		const reason = `spec.podCIDRs of node ${values.nodeName}`;
		resolved = withAutomatic(resolved, 'podCidrs', [...machine.podCidrs], reason);
	}
	requireServiceCidrsApart(resolved.values, machine);
	if (values.snatPorts === 'auto') resolved = resolveSnatPorts(resolved, machine);
	else requireDisjoint(values.snatPorts, machine);
	if (values.cgroupRoot === 'auto') resolved = resolveCgroup(resolved, machine);
	return resolved;
}

/** They are routed into Fairlead's own device. */
function requireServiceCidrsApart({ serviceCidrs, podCidrs }: Config, { addresses }: MachineFacts): void {
	for (const cidr of serviceCidrs) {
		const pods = podCidrs.find((each) => cidrsOverlap(cidr, each));
		const own = addresses.find((address) => cidrContains(cidr, address));
		if (pods === undefined && own === undefined) continue;
		const what = pods === undefined ? `node address ${own}` : `pod CIDR ${pods}`;
		throw new FairleadError(
			'CONFIG_CONFLICT',
			`serviceCidrs ${cidr} overlaps ${what}: its traffic would be taken for that of services`,
		);
	}
}

/** Those that there are, of configured ones too: others may come. */
function resolveMoreUplinks(
	config: EffectiveConfig,
	{ moreUplinks, moreUplinksReason }: MachineFacts,
): EffectiveConfig {
	const { values, origins } = config;
	if (values.moreUplinks.length === 0) return config;
	const found = withAutomatic(config, 'moreUplinks', [...moreUplinks], moreUplinksReason);
	if (values.moreUplinks[0] === 'auto') return found;
	return { ...found, origins: { ...origins, moreUplinks: { ...origins.moreUplinks, reason: moreUplinksReason } } };
}

function resolveMtu(config: EffectiveConfig, { uplink, addresses }: MachineFacts): EffectiveConfig {
	if (config.values.routing === 'direct') return withAutomatic(config, 'mtu', uplink.mtu, `that of ${uplink.name}`);
	const family = addresses[0] === undefined ? 4 : familyOf(addresses[0]);
	const overhead = VXLAN_OVERHEAD[family];
	const reason = `${uplink.mtu} of ${uplink.name} less ${overhead} for VXLAN over IPv${family}`;
	return withAutomatic(config, 'mtu', uplink.mtu - overhead, reason);
}

function resolveSnatPorts(config: EffectiveConfig, machine: MachineFacts): EffectiveConfig {
	const taken = takenPorts(machine);
	const gaps = freeGaps(taken);
	const [largest] = gaps.sort((a, b) => b.max - b.min - (a.max - a.min));
	if (largest === undefined || largest.max - largest.min + 1 < FEWEST_SNAT_PORTS) {
		throw new FairleadError(
			'CONFIG_CONFLICT',
			`cannot choose snatPorts: fewer than ${FEWEST_SNAT_PORTS} ports in a row are outside ip_local_port_range ${formatRange(machine.localPorts)}, NodePorts and reserved ports; set snatPorts or narrow ip_local_port_range`,
		);
	}
	const reason = `largest gap beside ip_local_port_range ${formatRange(machine.localPorts)} and NodePorts ${formatRange(NODE_PORTS)}`;
	return withAutomatic(config, 'snatPorts', largest, reason);
}

function takenPorts(machine: MachineFacts): readonly PortRange[] {
	return [{ min: 0, max: FIRST_SNAT_PORT - 1 }, machine.localPorts, NODE_PORTS, ...machine.reservedPorts];
}

function freeGaps(taken: readonly PortRange[]): PortRange[] {
	const gaps: PortRange[] = [];
	let next = 0;
	for (const range of [...taken].sort((a, b) => a.min - b.min)) {
		if (range.min > next) gaps.push({ min: next, max: range.min - 1 });
		next = Math.max(next, range.max + 1);
	}
	if (next <= 65535) gaps.push({ min: next, max: 65535 });
	return gaps;
}

function requireDisjoint(range: PortRange, machine: MachineFacts): void {
	for (const [other, name] of [
		[machine.localPorts, 'ip_local_port_range'],
		[NODE_PORTS, 'NodePorts'],
	] as const) {
		if (range.min > other.max || range.max < other.min) continue;
		throw new FairleadError(
			'CONFIG_CONFLICT',
			`snatPorts ${formatRange(range)} overlaps ${name} ${formatRange(other)}: connections of the node and of pods would be mixed up`,
		);
	}
}

function resolveCgroup(config: EffectiveConfig, { cgroup2 }: MachineFacts): EffectiveConfig {
	if (cgroup2 !== undefined) return withAutomatic(config, 'cgroupRoot', cgroup2, 'where cgroup v2 is mounted');
	if (!config.values.socketLb)
		return withAutomatic(config, 'cgroupRoot', '/sys/fs/cgroup', 'not used: socketLb is off');
	throw new FairleadError(
		'CONFIG_CONFLICT',
		'cannot choose cgroupRoot: cgroup v2 is not mounted; mount it or set socketLb: false',
	);
}

function formatRange({ min, max }: PortRange): string {
	return `${min}-${max}`;
}

/** '1024-2000,3000' of ip_local_reserved_ports. */
export function parsePortRanges(text: string): PortRange[] {
	return text
		.trim()
		.split(',')
		.filter((part) => part !== '')
		.map((part) => {
			const [min = '0', max = min] = part.split('-');
			return { min: Number(min), max: Number(max) };
		});
}
