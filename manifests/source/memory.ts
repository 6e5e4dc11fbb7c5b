/**
 * The memory limit of the agent's container: the agent itself and all BPF maps when full, which the kernel charges to whoever
 * makes them. The Helm chart computes the same from the same figures (chart.ts).
 */
import { mapBytes } from '../../agent/kernel/map-memory.ts';
import type { MapSpec } from '../../native/abi/codec.ts';
import { type MapName, Maps, XdpServiceLimits } from '../../native/abi/generated.ts';
import type { Values } from './values.ts';

/** Per-CPU maps are small; a node with more CPUs than this has the memory. */
export const ASSUMED_CPUS = 256;
const MI = 1024 * 1024;
/** The limit changes in steps, so that it is easy to read and small changes of maps do not roll all agents. */
export const STEP_MI = 64;

/** Entries with direct server return, as mapSizesOf() of agent/wiring/datapath-settings.ts gives them. */
export const DSR_ENTRIES = { slots: 262_144, xdp_svc: XdpServiceLimits.HOMES } as const;

type ConfigValues = Values['config'];

/** Entries of each map that the configuration can change. Both families count fully: nodes may be dual-stack. */
export function configuredEntries(config: ConfigValues): Partial<Record<MapName, number>> {
	const ct = config.ctMaxEntries ?? Maps.ct4.maxEntries;
	const named = Object.entries(config.maps ?? {}).filter((entry): entry is [MapName, number] => entry[1] !== undefined);
	const { backends } = config.maps ?? {};
	return {
		ct4: ct,
		ct6: ct,
		...(config.northSouth === 'dsr' && DSR_ENTRIES),
		...(backends !== undefined && { conns: backends }),
		...Object.fromEntries(named),
	};
}

/** Bytes of all maps when full. */
export function allMapBytes(config: ConfigValues): number {
	const entries = configuredEntries(config);
	return (Object.entries(Maps) as [MapName, MapSpec][])
		.map(([map, spec]) => mapBytes(spec, entries[map] ?? spec.maxEntries, ASSUMED_CPUS))
		.reduce((sum, bytes) => sum + bytes, 0);
}

/** '704Mi' */
export function memoryLimit(values: Pick<Values, 'config' | 'agentMemoryMi'>): string {
	const mi = values.agentMemoryMi + allMapBytes(values.config) / MI;
	return `${Math.ceil(mi / STEP_MI) * STEP_MI}Mi`;
}
