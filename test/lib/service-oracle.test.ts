import { describe, expect, it } from 'vitest';
import { addressBytes } from '../../agent/model/address.ts';
import { SHARED_STRIDE } from '../../agent/reconcile/kernel.ts';
import { serviceMemory, storeOwner } from '../../agent/reconcile/services-apply.ts';
import { packPeer } from '../../agent/reconcile/services-peers.ts';
import {
	AffinityEntry,
	AffinityKey,
	BackendFlags,
	Endpoint,
	PeerKind,
	RuntimeState,
	SvcEntry,
	SvcKey,
} from '../../native/abi/generated.ts';
import { at, type Case, probeOf, service, shortForm, slice, type WHO, worldOf } from '../service-cases/cases.ts';
import { smallKernel, WorldPlanner } from '../service-cases/plan-world.ts';
import { filterBit } from './dataplane/rows.ts';
import type { FakeKernel } from './fake-kernel.ts';
import { type SimulationOptions, simulate } from './service-oracle.ts';
import { ServiceMaps } from './service-oracle-maps.ts';
import { formatOutcome } from './service-oracle-probe.ts';

const IP = '10.96.0.10';
const VIP = '198.51.100.20';
const NODE = '192.168.50.1';
/** In struct backend: behind address, port and protocol. */
const FLAGS_OFFSET = 19;

const WEB: Case = {
	title: '',
	services: [
		service(
			'web',
			{
				type: 'LoadBalancer',
				clusterIPs: [IP],
				ports: [{ port: 80, protocol: 'TCP', nodePort: 30080 }],
				externalTrafficPolicy: 'Local',
				sessionAffinity: 'ClientIP',
				sessionAffinityConfig: { clientIP: { timeoutSeconds: 100 } },
			},
			{ loadBalancer: { ingress: [{ ip: VIP }] } },
		),
		service('empty', { clusterIPs: ['10.96.0.11'], ports: [{ port: 80, protocol: 'TCP' }] }),
	],
	slices: [slice('web', [at('podB'), at('pod2'), at('pod3')])],
	rows: [],
};
const world = worldOf(WEB);

/** Maps of the case, for a test to break. */
async function planned(): Promise<FakeKernel> {
	const kernel = smallKernel();
	await new WorldPlanner(world, kernel).plan(world);
	return kernel;
}

function ask(kernel: FakeKernel, who: keyof typeof WHO, to: string, o?: SimulationOptions): string {
	return shortForm(simulate(new ServiceMaps(kernel), world.node, probeOf(who, to), o));
}

const keyOf = (address: string, port: number, scope: number) =>
	SvcKey.encode({ addr: addressBytes(address), port, proto: 6, scope });

function entryOf(kernel: FakeKernel, address: string, port: number, scope: number): SvcEntry {
	return SvcEntry.decode(kernel.mapGet('services', keyOf(address, port, scope)) ?? new Uint8Array());
}

/** Row of a backend of the service 'web'. */
function rowOf(kernel: FakeKernel, address: string): number {
	return new ServiceMaps(kernel).rowOf(entryOf(kernel, IP, 80, 0).id, address, 8080) ?? 0;
}

function remember(kernel: FakeKernel, client: string, backend: string, more: Partial<AffinityEntry> = {}): void {
	const row = rowOf(kernel, backend);
	const { generation } = new ServiceMaps(kernel).backend(row);
	const key = AffinityKey.encode({ client: addressBytes(client), svcId: entryOf(kernel, IP, 80, 0).id });
	kernel.mapSet('affinity', key, AffinityEntry.encode({ backend: row, generation, lastUsed: 1000, ...more }));
}

describe('simulated packets', () => {
	it('find no service whose filter bit is clear, nor one at the node when none is counted there', async () => {
		const kernel = await planned();
		expect(ask(kernel, 'pod', `${VIP} 80`)).toBe('pod2 pod3 podB');
		expect(ask(kernel, 'pod', `${NODE} 30080`)).toBe('pod2 pod3 podB');
		const bit = filterBit(VIP);
		const filter = kernel.shared('vip_filter');
		filter.setUint8(bit >> 3, filter.getUint8(bit >> 3) & ~(1 << (bit & 7)));
		kernel.mapSet('runtime', new Uint8Array(4), new Uint8Array(RuntimeState.size));
		expect(ask(kernel, 'pod', `${VIP} 80`)).toBe('routed');
		expect(ask(kernel, 'pod', `${NODE} 30080`)).toBe('routed');
		expect(ask(kernel, 'pod', `${IP} 80`)).toBe('pod2 pod3 podB');
	});

	it('mean the cluster address from inside and the external one from outside where one is both', async () => {
		const kernel = await planned();
		const cluster = entryOf(kernel, IP, 80, 0);
		const empty = entryOf(kernel, '10.96.0.11', 80, 0);
		kernel.mapSet('services', keyOf(IP, 80, 1), SvcEntry.encode({ ...empty }));
		expect(ask(kernel, 'pod', `${IP} 80`)).toBe('pod2 pod3 podB');
		expect(ask(kernel, 'outside', `${IP} 80`)).toBe('reject');
		kernel.mapDelete('services', keyOf(IP, 80, 0));
		kernel.mapSet('services', keyOf(IP, 80, 1), SvcEntry.encode(cluster));
		expect(ask(kernel, 'pod', `${IP} 80`)).toBe('pod2 pod3 podB');
	});

	it('are refused as their protocol and path want it', async () => {
		const kernel = await planned();
		const maps = new ServiceMaps(kernel);
		const tcp = probeOf('pod', '10.96.0.11 80');
		const udp = probeOf('pod', '10.96.0.11 80/UDP');
		expect(formatOutcome(simulate(maps, world.node, tcp))).toBe('rejected, no endpoint, by RST');
		const hooked = simulate(maps, world.node, { ...tcp, path: 'socket' });
		expect(formatOutcome(hooked)).toBe('rejected, no endpoint, by ECONNREFUSED');
		expect(formatOutcome(simulate(maps, world.node, udp))).toBe('rejected, undefined port, by ICMP unreachable');
	});

	it('go nowhere when the pod that has the address is no longer the one the row names', async () => {
		const kernel = await planned();
		const key = new Uint8Array(new Uint32Array([2]).buffer);
		const pod = Endpoint.decode(kernel.mapGet('endpoints', key) ?? new Uint8Array());
		kernel.mapSet('endpoints', key, Endpoint.encode({ ...pod, gen: pod.gen + 1 }));
		const outcome = simulate(new ServiceMaps(kernel), world.node, probeOf('outside', `${VIP} 80`));
		expect(formatOutcome(outcome)).toBe('answered by 10.244.1.12 8080 (nowhere)');
	});
});

describe('simulated affinity', () => {
	it('keeps a client with its backend at every address of the port', async () => {
		const kernel = await planned();
		remember(kernel, '10.244.1.11', '10.244.2.20');
		for (const to of [`${IP} 80`, `${VIP} 80`, `${NODE} 30080`]) {
			expect(ask(kernel, 'pod', to, { now: 1000 })).toBe('pod2');
			expect(ask(kernel, 'podB', to, { now: 1000 })).toBe('pod2 pod3 podB*');
		}
	});

	it('ends with its time, with the row, and where the backend does not count', async () => {
		const kernel = await planned();
		remember(kernel, '10.244.1.11', '10.244.2.20');
		expect(ask(kernel, 'pod', `${IP} 80`, { now: 1000 + 100 * 250 })).toBe('pod2');
		expect(ask(kernel, 'pod', `${IP} 80`, { now: 1001 + 100 * 250 })).toBe('pod2 pod3 podB');
		remember(kernel, '10.244.1.11', '10.244.2.20', { generation: 77_777 });
		expect(ask(kernel, 'pod', `${IP} 80`, { now: 1000 })).toBe('pod2 pod3 podB');
		// Outside clients under policy Local are served here, whatever they had.
		remember(kernel, '203.0.113.7', '10.244.2.20');
		expect(ask(kernel, 'outside', `${VIP} 80`, { now: 1000 })).toBe('podB');
	});

	it('counts over the end of the clock', async () => {
		const kernel = await planned();
		remember(kernel, '10.244.1.11', '10.244.2.20', { lastUsed: 0xffffff00 });
		expect(ask(kernel, 'pod', `${IP} 80`, { now: 100 })).toBe('pod2');
	});
});

describe('maps that no packet must meet are complained about:', () => {
	const flagsAt = (row: number): number => row * SHARED_STRIDE.backends + FLAGS_OFFSET;

	it('a slot that names a row out of use', async () => {
		const kernel = await planned();
		kernel.shared('backends').setUint8(flagsAt(rowOf(kernel, '10.244.2.20')), 0);
		expect(() => ask(kernel, 'pod', `${IP} 80`)).toThrow(/10\.244\.2\.20 port 8080\) is listed with flags 0/);
		// It is in the other list only.
		expect(ask(kernel, 'outside', `${VIP} 80`)).toBe('podB');
	});

	it('a row in the local list that is not marked so', async () => {
		const kernel = await planned();
		const flags = BackendFlags.LIVE | BackendFlags.SERVING;
		kernel.shared('backends').setUint8(flagsAt(rowOf(kernel, '10.244.1.12')), flags);
		expect(() => ask(kernel, 'outside', `${VIP} 80`)).toThrow(/is listed with flags 9/);
	});

	it('a slot that names the row of another service', async () => {
		const kernel = await planned();
		const row = rowOf(kernel, '10.244.2.20');
		storeOwner(serviceMemory(kernel), row, { peer: 0, svcId: 4711 });
		expect(() => ask(kernel, 'pod', `${IP} 80`)).toThrow(/of 4711/);
	});

	it('a hint that names somebody else, unless it is out of date', async () => {
		const kernel = await planned();
		const row = rowOf(kernel, '10.244.1.12');
		const { svcId } = new ServiceMaps(kernel).backend(row);
		const other = { index: 1, gen: 9, kind: PeerKind.LOCAL_POD };
		storeOwner(serviceMemory(kernel), row, { peer: packPeer(other), svcId });
		expect(ask(kernel, 'outside', `${VIP} 80`)).toBe('podB');
		storeOwner(serviceMemory(kernel), row, { peer: packPeer({ ...other, gen: 1 }), svcId });
		expect(() => ask(kernel, 'outside', `${VIP} 80`)).toThrow(/is said to be of kind 1 at 1, and is 1/);
	});
});
