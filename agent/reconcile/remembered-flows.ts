/**
 * Flows that the programs remember because the tables of their service disagree or have disagreed (dsr_flows): whether any of
 * them still lives by the table before a change.
 */
import { CtKey, DsrFlow } from '../../native/abi/generated.ts';
import { addressOfBytes } from '../model/address.ts';
import { type FlowTuple, flowSlot } from '../plan/flow-slot.ts';
import type { Frontend } from '../plan/services.ts';
import type { Kernel } from './kernel.ts';
import type { Tables } from './services-tables.ts';

/** A flow that was seen within DSR_FLOW_TIMEOUT_S. */
export interface RememberedFlow {
	readonly tuple: FlowTuple;
	/** Row of its backend. */
	readonly backend: number;
	/** Number of the change of its service (svc_entry.transition). */
	readonly transition: number;
}

export interface RememberedFlows {
	readonly flows: readonly RememberedFlow[];
	/** False = the map is full of flows that were seen within the time, so that others may have been forgotten. */
	readonly complete: boolean;
}

export const NO_FLOWS: RememberedFlows = { flows: [], complete: true };

/** Low 32 bits of jiffies, and their rate. */
export interface Jiffies {
	now(): number;
	readonly hz: number;
}

/** DSR_FLOW_TIMEOUT_S of bpf/lib/dsr.h: what was not used for so long says nothing about a flow. */
const TIMEOUT_S = 3600;

/** An LRU map evicts before its last element is in use: each CPU keeps some of its own. */
const FULL = 0.9;

/** Reads all 65,536 at most: for when a change is due to end, not for every change of a service. */
export function rememberedFlows(kernel: Pick<Kernel, 'mapEntries' | 'mapCapacity'>, jiffies: Jiffies): RememberedFlows {
	const now = jiffies.now();
	const flows: RememberedFlow[] = [];
	for (const [keyBytes, value] of kernel.mapEntries('dsr_flows')) {
		const { backend, transition, lastSeen } = DsrFlow.decode(value);
		if (((now - lastSeen) | 0) >= TIMEOUT_S * jiffies.hz) continue;
		const { lo, hi, loPort, hiPort, proto } = CtKey.decode(keyBytes);
		flows.push({ tuple: { src: lo, dst: hi, sport: loPort, dport: hiPort, proto }, backend, transition });
	}
	return { flows, complete: flows.length < FULL * kernel.mapCapacity('dsr_flows') };
}

/** May there be a flow of the service at another backend than the table in force has for it? Without the table before it would be lost. */
export function livesByTableBefore(
	{ current }: Pick<Tables, 'current'>,
	{ frontends }: { readonly frontends: readonly Pick<Frontend, 'address' | 'port' | 'proto'>[] },
	transition: number,
	{ flows, complete }: RememberedFlows,
): boolean {
	if (!complete) return true;
	const own = new Set(frontends.map(({ address, port, proto }) => `${address}|${port}|${proto}`));
	return flows.some(({ tuple, backend, transition: number }) => {
		if (number !== transition) return false;
		if (!own.has(`${addressOfBytes(tuple.dst)}|${tuple.dport}|${tuple.proto}`)) return false;
		return current[flowSlot(tuple, current.length)] !== backend;
	});
}
