import { describe, expect, it } from 'vitest';
import { CtKey, DsrFlow, SvcEntry, SvcKey } from '../../native/abi/generated.ts';
import { CONTEXT, clusterOf, service, slice } from '../../test/lib/cluster-builder.ts';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
import { addressBytes } from '../model/address.ts';
import { flowSlot } from '../plan/flow-slot.ts';
import { planServices } from '../plan/services.ts';
import { ServicesReconciler } from './services.ts';

const VIP = '203.0.113.1';
const OTHER_VIP = '203.0.113.2';
const CLIENT = '198.51.100.7';
const HZ = 250;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const KEY = SvcKey.encode({ addr: addressBytes(VIP), port: 80, proto: 6, scope: 1 });

/** A service behind VIP whose set has grown from three backends to four at time 0. */
async function setUp(): Promise<{
	readonly kernel: FakeKernel;
	readonly entry: () => SvcEntry;
	readonly moving: () => boolean;
	readonly at: (minutes: number) => Promise<void>;
	readonly remember: (flow: { vip?: string; transition?: number; at?: 'now' | 'before'; seenMinute?: number }) => void;
}> {
	const kernel = new FakeKernel({ capacity: { slots: 16384, backends: 4096 } });
	const clock = { nowMs: 0 };
	// Shortly before jiffies wrap.
	const jiffiesAt = (ms: number): number => (2 ** 32 - 1000 * HZ + (ms / 1000) * HZ) >>> 0;
	const reconciler = new ServicesReconciler({
		...{ kernel, now: () => clock.nowMs, transitionMs: 1000 },
		jiffies: { now: () => jiffiesAt(clock.nowMs), hz: HZ },
	});
	const plan = (...hosts: readonly string[]) =>
		planServices(
			clusterOf([service('web', { type: 'LoadBalancer', loadBalancerIps: [VIP] })], [slice('web', hosts)]),
			[],
			{ ...CONTEXT, dsr: true },
		);
	const hosts = ['10.244.0.1', '10.244.0.2', '10.244.0.3'] as const;
	await reconciler.replaceAll(plan(...hosts));
	await reconciler.update(plan(...hosts, '10.244.0.4'));
	const entry = (): SvcEntry => {
		const value = kernel.mapGet('services', KEY);
		if (value === undefined) throw new Error('the service is gone');
		return SvcEntry.decode(value);
	};
	const rowAt = (base: number, slot: number): number => kernel.shared('slots').getUint32((base + slot) * 4, true);
	return {
		kernel,
		entry,
		moving: () => entry().prevCount > 0,
		at: async (minutes) => {
			clock.nowMs = minutes * MINUTE_MS;
			await reconciler.update(new Map());
		},
		remember: ({ vip = VIP, transition = entry().transition, at = 'before', seenMinute = 0 }) => {
			const { allBase, allCount, prevBase } = entry();
			const ends = { src: addressBytes(CLIENT), dst: addressBytes(vip), dport: 80, proto: 6 };
			for (let sport = 1024; ; sport++) {
				const slot = flowSlot({ ...ends, sport }, allCount);
				if (rowAt(allBase, slot) === rowAt(prevBase, slot)) continue;
				const key = { lo: ends.src, hi: ends.dst, loPort: sport, hiPort: 80, proto: 6 };
				const backend = rowAt(at === 'now' ? allBase : prevBase, slot);
				const lastSeen = jiffiesAt(seenMinute * MINUTE_MS);
				const value = DsrFlow.encode({ backend, generation: 0, lastSeen, transition });
				kernel.mapSet('dsr_flows', CtKey.encode(key), value);
				return;
			}
		},
	};
}

const HOUR = HOUR_MS / MINUTE_MS;

describe('the table before a change', () => {
	it('goes after an hour if no flow is remembered', async () => {
		const { at, moving } = await setUp();
		await at(HOUR - 1);
		expect(moving()).toBe(true);
		await at(HOUR);
		expect(moving()).toBe(false);
	});

	it('stays for a flow that lives by it until that was not seen for an hour', async () => {
		const { at, moving, remember } = await setUp();
		remember({ seenMinute: 5 });
		for (const minutes of [HOUR, HOUR + 5]) {
			await at(minutes);
			expect(moving()).toBe(true);
		}
		await at(HOUR + 10);
		expect(moving()).toBe(false);
	});

	it.each([
		['is where the table in force has it', { at: 'now', seenMinute: 59 }],
		['is of another service', { vip: OTHER_VIP, seenMinute: 59 }],
		['was remembered under an earlier change', { transition: 0, seenMinute: 59 }],
	] as const)('does not stay for a flow that %s', async (_name, flow) => {
		const { at, moving, remember } = await setUp();
		remember(flow);
		await at(HOUR);
		expect(moving()).toBe(false);
	});

	it('stays while the map is full of flows, as some may have been forgotten', async () => {
		const { kernel, at, moving } = await setUp();
		const lastSeen = (2 ** 32 - 1000 * HZ + (HOUR_MS / 1000) * HZ) >>> 0;
		for (let port = 0; port < kernel.mapCapacity('dsr_flows'); port++) {
			const key = { lo: addressBytes(CLIENT), hi: addressBytes(OTHER_VIP), loPort: port, hiPort: 80, proto: 6 };
			const value = DsrFlow.encode({ backend: 1, generation: 0, lastSeen, transition: 0 });
			kernel.mapSet('dsr_flows', CtKey.encode(key), value);
		}
		await at(HOUR);
		expect(moving()).toBe(true);
		await at(2 * HOUR);
		expect(moving()).toBe(false);
	});

	it('is not asked about before it has had its time', async () => {
		const { kernel, at } = await setUp();
		const asked: string[] = [];
		const entries = kernel.mapEntries.bind(kernel);
		kernel.mapEntries = (map) => {
			asked.push(map);
			return entries(map);
		};
		await at(HOUR - 1);
		expect(asked).toEqual([]);
		await at(HOUR);
		expect(asked).toEqual(['dsr_flows']);
	});
});
