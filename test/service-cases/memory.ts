/** Clients with a past: backends that some of them had before, as rules name them and as the map `affinity` does. */
import { addressBytes, addressOfBytes } from '../../agent/model/address.ts';
import type { Kernel } from '../../agent/reconcile/kernel.ts';
import { AffinityEntry, AffinityKey, SvcScope } from '../../native/abi/generated.ts';
import type { ServiceMaps } from '../lib/service-oracle-maps.ts';
import { PROTOCOLS, type Probe } from '../lib/service-oracle-probe.ts';
import { findService, type RulesWorld } from '../lib/service-rules.ts';
import { canonical, familyOfText, type RawService, type RawSlice } from '../lib/service-rules-objects.ts';
import { PLACES } from './geography.ts';

/** Those who remember; all other clients are new. */
const CLIENTS = [PLACES.podA, PLACES.world] as const;

interface Memory {
	readonly client: string;
	readonly service: RawService;
	/** Index of the service port. */
	readonly port: number;
	readonly backend: { readonly address: string; readonly port: number };
}

/** One endpoint, usable or not, for each client, family and port of the sticky services. */
export function inventMemories(world: RulesWorld): Memory[] {
	const sticky = world.services.filter(({ spec }) => spec.sessionAffinity === 'ClientIP');
	return sticky.flatMap((service) =>
		(service.spec.ports ?? []).flatMap((port, n) =>
			CLIENTS.flatMap((addresses, c) =>
				addresses.flatMap((client) => {
					const candidates = world.slices
						.filter((slice) => slice.metadata.labels?.['kubernetes.io/service-name'] === service.metadata.name)
						.flatMap((slice) => backendsOf(slice, port.name, port.protocol))
						.filter(({ address }) => familyOfText(address) === familyOfText(client));
					const backend = candidates[(n + c) % Math.max(1, candidates.length)];
					return backend === undefined ? [] : [{ client, service, port: n, backend }];
				}),
			),
		),
	);
}

function backendsOf(slice: RawSlice, name: string | undefined, protocol: string | undefined) {
	if (slice.addressType === 'FQDN') return [];
	return (slice.ports ?? [])
		.filter((p) => p.name === name && p.protocol === protocol && p.port)
		.flatMap((p) => slice.endpoints.map((e) => ({ address: canonical(e.addresses[0] ?? ''), port: p.port ?? 0 })));
}

/** What the rules have to know: 'address port' of the backend that the probe's client had last. */
export function rememberedBy(world: RulesWorld, memories: readonly Memory[], probe: Probe): string | undefined {
	const match = findService(world, probe);
	const found = memories.find(
		({ client, service, port }) =>
			client === probe.client.address && match?.service === service && match.port === service.spec.ports?.[port],
	);
	return found && `${found.backend.address} ${found.backend.port}`;
}

/**
 * Writes the map as if the connections had been made before; what never was a backend row cannot be remembered.
 * @param lastUsed  jiffies
 */
export function writeMemories(kernel: Kernel, maps: ServiceMaps, memories: readonly Memory[], lastUsed: number): void {
	for (const { client, service, port, backend } of memories) {
		const { port: number, protocol = 'TCP' } = service.spec.ports?.[port] ?? { port: 0 };
		const vip = (service.spec.clusterIPs ?? []).find(
			(ip) => ip !== 'None' && familyOfText(ip) === familyOfText(client),
		);
		if (vip === undefined) continue;
		const entry = maps.service(canonical(vip), number, PROTOCOLS[protocol], SvcScope.CLUSTER);
		if (entry === undefined) continue;
		const index = maps.rowOf(entry.id, backend.address, backend.port);
		if (index === undefined) continue;
		const { generation } = maps.backend(index);
		const key = AffinityKey.encode({ client: addressBytes(client), svcId: entry.id });
		kernel.mapSet('affinity', key, AffinityEntry.encode({ backend: index, generation, lastUsed }));
	}
}

/** Makes the map hold exactly these rows. */
export function replaceMemories(
	kernel: Kernel,
	rows: readonly { readonly key: Uint8Array; readonly value: Uint8Array }[],
): void {
	for (const [key] of [...kernel.mapEntries('affinity')]) kernel.mapDelete('affinity', key);
	for (const { key, value } of rows) kernel.mapSet('affinity', key, value);
}

/** For messages. */
export function describeMemories(kernel: Kernel): string {
	return [...kernel.mapEntries('affinity')]
		.map(([key, value]) => {
			const { client, svcId } = AffinityKey.decode(key);
			return `${addressOfBytes(client)} of service ${svcId} had ${AffinityEntry.format(AffinityEntry.decode(value))}`;
		})
		.join('; ');
}
