/** What happens to the content of each map when its layout or size changes. */
import type { MapName } from '../../native/abi/generated.ts';

/**
 * `flows`: made by packets, carried over while links are swapped; a layout that cannot be carried is refused.
 * `tables`: written by the agent, copied as a start and then reconciled before links are swapped. The maps of a group refer to each
 * other by index, so that all are replaced if one is.
 * `fresh`: starts empty (counters, ring buffer, reassembly state of a second).
 */
export interface MapGroup {
	readonly carry: 'flows' | 'tables' | 'fresh';
	readonly maps: readonly MapName[];
}

export const MAP_GROUPS: readonly MapGroup[] = [
	{ carry: 'flows', maps: ['ct4'] },
	{ carry: 'flows', maps: ['ct6'] },
	{ carry: 'flows', maps: ['ctfull4'] },
	{ carry: 'flows', maps: ['ctfull6'] },
	{ carry: 'tables', maps: ['ctfull'] },
	{ carry: 'tables', maps: ['hostsvc'] },
	{ carry: 'flows', maps: ['sock_rev'] },
	{ carry: 'flows', maps: ['affinity'] },
	{ carry: 'tables', maps: ['vip_filter', 'services', 'slots', 'backends', 'conns', 'sources', 'xdp_svc'] },
	{
		carry: 'tables',
		maps: ['ipcache', 'cidrs', 'endpoints', 'ifaces', 'nodes', 'xdp_nodes', 'policy', 'policyset', 'ranges'],
	},
	{ carry: 'tables', maps: ['uplinks'] },
	{ carry: 'tables', maps: ['resolvers'] },
	{ carry: 'fresh', maps: ['dns'] },
	{ carry: 'tables', maps: ['runtime'] },
	{ carry: 'tables', maps: ['ports'] },
	{ carry: 'tables', maps: ['inside'] },
	{ carry: 'fresh', maps: ['frags'] },
	{ carry: 'fresh', maps: ['dsr_flows'] },
	{ carry: 'fresh', maps: ['denied'] },
	{ carry: 'fresh', maps: ['drops'] },
	{ carry: 'fresh', maps: ['metrics'] },
	{ carry: 'fresh', maps: ['limits'] },
	{ carry: 'fresh', maps: ['events'] },
];
