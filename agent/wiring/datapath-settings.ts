/**
 * What the datapath is opened and its programs are loaded with, from configuration, facts and plans. Pure.
 */
import { NorthSouth, XdpServiceLimits } from '../../native/abi/generated.ts';
import type { Config } from '../config/schema.ts';
import type { DatapathSettings } from '../kernel/datapath.ts';
import { addressBytes, cidrParts, familyOf } from '../model/address.ts';
import { FairleadError } from '../model/errors.ts';
import type { NodeFacts } from '../model/node-facts.ts';
import type { RoutingResult } from '../plan/routing.ts';
import { type Devices, OVERLAY_MAC } from '../routing/devices.ts';

const NO_ADDRESS = new Uint8Array(16);
const EVENTS_PER_SECOND = 100;

/** How packets from outside get to backends on other nodes. */
function northSouthOf({ northSouth, dsr, routing, standalone }: Config, devices: Devices): number {
	if (northSouth === 'snat') return NorthSouth.SNAT;
	if (standalone) return dsr === 'l2' ? NorthSouth.SERVER_LINK : NorthSouth.SERVER_IPIP;
	if (dsr === 'ipip') return NorthSouth.IPIP;
	if (devices.overlay !== null) return NorthSouth.VXLAN;
	throw new FairleadError(
		'CONFIG_CONFLICT',
		`cannot return directly through VXLAN: routing ${routing} has no overlay device; set dsr: ipip`,
	);
}

/** Network and mask of the first pod CIDR of a family, 16 bytes each; zero = family not in use. */
export function podNet(podCidrs: readonly string[], family: 4 | 6): { net: Uint8Array; mask: Uint8Array } {
	const cidr = podCidrs.find((each) => familyOf(each) === family);
	if (cidr === undefined) return { net: NO_ADDRESS, mask: NO_ADDRESS };
	const { address, prefixLength } = cidrParts(cidr);
	const bits = prefixLength + (family === 4 ? 96 : 0);
	const mask = Uint8Array.from({ length: 16 }, (_, at) => (0xff00 >> Math.max(0, Math.min(8, bits - at * 8))) & 0xff);
	return { net: addressBytes(address), mask };
}

export interface SettingsParts {
	readonly facts: NodeFacts;
	readonly routing: RoutingResult;
	readonly devices: Devices;
	/** Highest index in use of the map uplinks. */
	readonly uplinkRows: number;
}

/** Constants of the programs. @throws CONFIG_CONFLICT */
export function datapathSettings(
	config: Config,
	{ facts, routing, devices, uplinkRows }: SettingsParts,
): DatapathSettings {
	const address = (family: 4 | 6): Uint8Array => {
		const found = facts.addresses.find((each) => familyOf(each) === family);
		return found === undefined ? NO_ADDRESS : addressBytes(found);
	};
	const [net4, net6] = [podNet(facts.podCidrs, 4), podNet(facts.podCidrs, 6)];
	if (config.snatPorts === 'auto')
		throw new FairleadError('CONFIG_CONFLICT', 'cannot load programs: snatPorts is not resolved');
	return {
		uplinkIfindex: facts.uplink.ifindex,
		overlayIfindex: devices.overlay?.ifindex ?? 0,
		hostIfindex: devices.host.ifindex,
		vni: config.vni,
		vxlanPort: config.vxlanPort,
		snatPortMin: config.snatPorts.min,
		snatPortMax: config.snatPorts.max,
		podMtu: routing.plan.podMtu,
		uplinkMtu: facts.uplink.mtu,
		uplinkRows,
		nodeAddr4: address(4),
		nodeAddr6: address(6),
		podNet4: net4.net,
		podMask4: net4.mask,
		podNet6: net6.net,
		podMask6: net6.mask,
		hostMac: devices.host.mac,
		overlayMac: OVERLAY_MAC,
		events: 1,
		masquerade4: config.masquerade ? 1 : 0,
		masquerade6: config.masquerade ? 1 : 0,
		sockLb: config.socketLb ? 1 : 0,
		northSouth: northSouthOf(config, devices),
		eventRate: EVENTS_PER_SECOND,
	};
}

export function sameSettings(a: DatapathSettings, b: DatapathSettings): boolean {
	const text = (value: unknown) => (value instanceof Uint8Array ? value.join() : String(value));
	return (Object.keys(a) as (keyof DatapathSettings)[]).every((key) => text(a[key]) === text(b[key]));
}

/** Slots for 1,000 services of up to 10 backends with a Maglev table each, during transitions too: 16 MiB. */
const DSR_SLOTS = 262_144;

/** Sizes of maps that differ from the compiled ones; what is configured by name wins. */
export function mapSizesOf(config: Config, podCidrs: readonly string[]): Record<string, number> {
	const usesIpv6 = config.standalone || podCidrs.some((cidr) => familyOf(cidr) === 6);
	const { backends } = config.maps;
	const defined = Object.entries(config.maps).filter((entry): entry is [string, number] => entry[1] !== undefined);
	return {
		ct4: config.ctMaxEntries,
		ct6: usesIpv6 ? config.ctMaxEntries : 1024,
		...(config.northSouth === 'dsr' && { slots: DSR_SLOTS, xdp_svc: XdpServiceLimits.HOMES }),
		// Connections are counted by backend index: a backend beyond the end would look idle for ever.
		...(backends !== undefined && { conns: backends }),
		...Object.fromEntries(defined),
	};
}

/** Of services that the node's own processes cannot reach: without the socket hook their packets come by routes of the service CIDRs. */
export function hookWarnings({ socketLb, standalone }: Config, serviceCidrs: readonly string[]): readonly string[] {
	if (socketLb || standalone || serviceCidrs.length > 0) return [];
	return [
		"socketLb is off and no service CIDR is known, so that the node's own processes reach no ClusterIP: set serviceCidrs",
	];
}
