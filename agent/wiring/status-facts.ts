/**
 * Facts about this node that `fairlead status` prints.
 */
import type { KernelFeatures } from '../../native/index.ts';
import type { EffectiveConfig } from '../config/config.ts';
import { plannedMemory } from '../kernel/datapath.ts';
import { mapSizesOf } from './datapath-settings.ts';
import type { Dataplane } from './dataplane.ts';
import type { SocketEnder } from './socket-ender.ts';

export interface StatusFactsParts {
	readonly config: EffectiveConfig;
	readonly features: KernelFeatures;
	readonly dataplane: Dataplane;
	readonly sockets: SocketEnder | undefined;
}

/** By kebab-case key, in the order in which they are printed. */
export function statusFacts({ config, features, dataplane, sockets }: StatusFactsParts): Record<string, string> {
	const { values, origins } = config;
	const more = dataplane.moreUplinks.chosen.map(({ uplink, reason }) => `; ${uplink.name} (${reason})`);
	const memory = plannedMemory(mapSizesOf(values, dataplane.facts.podCidrs));
	const mib = memory.reduce((sum, { bytes }) => sum + bytes, 0) / 1024 / 1024;
	return {
		routing: values.routing,
		uplink: `${dataplane.facts.uplink.name} (${origins.uplink.reason || origins.uplink.source})${more.join('')}`,
		addresses: dataplane.facts.addresses.join(' '),
		'pod-cidrs': dataplane.facts.podCidrs.join(' '),
		'pod-mtu': String(dataplane.routing.plan.podMtu),
		kernel: features.release,
		xdp: dataplane.xdpState,
		hooks: `${features.tcx ? 'tcx' : 'clsact'}${values.socketLb ? ', cgroup sockets' : ''}`,
		...(sockets !== undefined && { sockets: sockets.summary }),
		'map-memory': `${mib.toFixed(0)} MiB`,
	};
}
