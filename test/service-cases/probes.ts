/** The questions to ask in a world: every address of every service, from everywhere, and their neighbours. */
import type { Probe, ProbeClient, ProbeProtocol } from '../lib/service-oracle-probe.ts';
import type { RulesWorld } from '../lib/service-rules.ts';
import { canonical, familyOfText } from '../lib/service-rules-objects.ts';
import { PLACES, type PlaceName } from './geography.ts';

interface Target extends Pick<Probe, 'address' | 'port' | 'protocol'> {
	/** Nothing is expected there: a few clients are enough. */
	readonly neighbour: boolean;
}

const CLIENTS: readonly (readonly [ProbeClient['kind'], PlaceName])[] = [
	['pod', 'podA'],
	['pod', 'podB'],
	['node', 'node'],
	['outside', 'world'],
	['outside', 'stranger'],
	['outside', 'node3'],
	['outside', 'pod3'],
	['outside', 'gone'],
];
const FEW: readonly PlaceName[] = ['podA', 'node', 'world'];
const FEW_CLIENTS = CLIENTS.filter(([, place]) => FEW.includes(place));

/** Destinations worth asking for. */
export function targetsOf(world: RulesWorld): Target[] {
	const targets = new Map<string, Target>();
	const add = (address: string, port: number, protocol: ProbeProtocol, neighbour = false): void => {
		const key = `${address} ${port} ${protocol}`;
		if (!neighbour || !targets.has(key)) targets.set(key, { address, port, protocol, neighbour });
	};
	const nodeAddresses = [...PLACES.node, ...PLACES.second, ...PLACES.node2];
	for (const { spec, status } of world.services) {
		const clusterIps = (spec.clusterIPs ?? []).filter((ip) => ip !== 'None').map(canonical);
		const balancers = (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => (ip ? [canonical(ip)] : []));
		const vips = [...clusterIps, ...(spec.externalIPs ?? []).map(canonical), ...balancers];
		for (const { port, protocol = 'TCP', nodePort } of spec.ports ?? []) {
			for (const vip of vips) {
				add(vip, port, protocol);
				add(vip, port, protocol === 'TCP' ? 'UDP' : 'TCP', true);
				add(vip, 9999, protocol, true);
				if (nodePort) add(vip, nodePort, protocol, true);
			}
			for (const address of nodeAddresses) {
				if (nodePort) add(address, nodePort, protocol, !world.node.nodePortAddresses.includes(address));
			}
		}
		for (const vip of clusterIps) add(vip, 0, familyOfText(vip) === 4 ? 'ICMP' : 'ICMPV6', true);
	}
	for (const address of ['10.96.9.9', 'fd96::99', ...PLACES.node, ...PLACES.world]) add(address, 80, 'TCP', true);
	return [...targets.values()];
}

export function probesOf(world: RulesWorld): Probe[] {
	return targetsOf(world).flatMap(({ neighbour, ...target }) => {
		const family = familyOfText(target.address) === 4 ? 0 : 1;
		return (neighbour ? FEW_CLIENTS : CLIENTS).flatMap(([kind, place]) => {
			const client = { kind, address: PLACES[place][family] };
			const hooked = kind !== 'outside' && (target.protocol === 'TCP' || target.protocol === 'UDP');
			const byPacket: Probe = { ...target, client, path: 'packet' };
			return hooked ? [byPacket, { ...byPacket, path: 'socket' as const }] : [byPacket];
		});
	});
}
