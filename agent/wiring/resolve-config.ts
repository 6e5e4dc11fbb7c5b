/**
 * Configuration as it is on this machine: `auto` replaced by what was found.
 */
import { netlinkRequest } from '../../native/index.ts';
import { resolveAutomatic } from '../config/automatic.ts';
import type { EffectiveConfig } from '../config/config.ts';
import { Netlink } from '../kernel/netlink.ts';
import type { Node } from '../model/node.ts';
import { describeMoreUplinks } from '../routing/more-uplinks.ts';
import { findCgroup2, localPortRange, reservedPorts } from './machine.ts';
import { collectNodeFacts } from './node-facts.ts';

/** Replaces `auto` by what this machine calls for. @throws CONFIG_CONFLICT, UPLINK_UNKNOWN */
export async function resolveConfig(config: EffectiveConfig, node: Node): Promise<EffectiveConfig> {
	const { uplink, moreUplinks, nodePortAddresses, podCidrs } = config.values;
	const found = await collectNodeFacts({
		netlink: new Netlink({ request: netlinkRequest }),
		node,
		uplink,
		moreUplinks,
		nodePortAddresses,
		podCidrs,
	});
	const { facts, uplinkReason } = found;
	return resolveAutomatic(config, {
		uplink: facts.uplink,
		uplinkReason,
		moreUplinks: facts.moreUplinks.map(({ name }) => name),
		moreUplinksReason: describeMoreUplinks(found.moreUplinks),
		uplinks: [facts.uplink, ...facts.moreUplinks],
		addresses: facts.addresses,
		podCidrs: facts.podCidrs,
		localPorts: localPortRange(),
		reservedPorts: reservedPorts(),
		cgroup2: findCgroup2(),
	});
}
