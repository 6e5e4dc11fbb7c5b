/**
 * BIG TCP: how large the aggregates of TCP segments may be that pods send in one piece. Each costs as much on its way through a node as one of 64 KB. Pure.
 * IPv4 alone (kernel 6.3): those of IPv6 have a hop-by-hop header, and do not get through everywhere.
 */
import { GSO_BYTES, type UplinkFacts } from '../model/node-facts.ts';
import type { RoutingMode } from './routing.ts';

export interface BigTcpSettings {
	readonly routing: RoutingMode;
	readonly xdp: 'auto' | 'native' | 'generic' | 'off';
}

export interface BigTcpChoice {
	readonly on: boolean;
	/** For people. */
	readonly reason: string;
}

/** What `bigTcp: auto` means: on where everything takes such aggregates that pods' packets leave by, so that nothing takes them apart in software. */
export function chooseBigTcp({ routing, xdp }: BigTcpSettings, uplinks: readonly UplinkFacts[]): BigTcpChoice {
	const off = (reason: string): BigTcpChoice => ({ on: false, reason });
	if (routing !== 'direct') return off(`routing ${routing}: tunnels take ${GSO_BYTES.usual} bytes at a time`);
	for (const { name, gso, isVeth } of uplinks) {
		if (gso === undefined) return off(`the kernel has none for IPv4 on ${name} (6.3)`);
		if (gso.largest < GSO_BYTES.big) return off(`${name} takes ${gso.largest} bytes at a time`);
		// kernel: a veth copies packets for XDP into 18 pages at most, and drops what is larger
		if (isVeth && (xdp === 'native' || xdp === 'generic')) return off(`xdp ${xdp} on ${name}, which is a veth`);
	}
	return {
		on: true,
		reason: `${uplinks.map(({ name }) => name).join(', ')} can send ${GSO_BYTES.big} bytes at a time`,
	};
}
