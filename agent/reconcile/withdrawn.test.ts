import { describe, expect, it } from 'vitest';
import { RuntimeState } from '../../native/abi/generated.ts';
import { CONTEXT, clusterOf, service, slice } from '../../test/lib/cluster-builder.ts';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
import { filterHas, readServices } from '../../test/lib/service-maps.ts';
import { planServices } from '../plan/services.ts';
import { ServicesReconciler } from './services.ts';

const VIP = '198.51.100.7';
const KEEP_MS = 1000;

function setUp() {
	const kernel = new FakeKernel();
	const clock = { ms: 0 };
	const reconcilerOf = () => new ServicesReconciler({ kernel, now: () => clock.ms, withdrawnMs: KEEP_MS });
	const plan = (...names: readonly string[]) => {
		const ports = [{ name: '', protocol: 'TCP' as const, port: 80, nodePort: 30_080 }];
		const services = names.map((name) => service(name, { type: 'LoadBalancer', externalIps: [VIP], ports }));
		const slices = names.map((name) => slice(name, ['10.244.0.1']));
		return planServices(clusterOf(services, slices), [], CONTEXT);
	};
	const ports = () =>
		RuntimeState.decode(kernel.mapGet('runtime', new Uint8Array(4)) ?? new Uint8Array(RuntimeState.size)).externalPorts;
	return { kernel, clock, reconcilerOf, plan, ports };
}

describe('an address that is no service’s any more', () => {
	it('keeps its filter bit, and the node its ports, for connections that have come by them', async () => {
		const { kernel, clock, reconcilerOf, plan, ports } = setUp();
		const reconciler = reconcilerOf();
		await reconciler.replaceAll(plan('web'));
		expect(ports()).toBe(1);
		const report = await reconciler.replaceAll(plan());
		expect(report.problems).toEqual([]);
		expect(readServices(kernel).services).toEqual([]);
		expect([filterHas(kernel, VIP), ports()]).toEqual([true, 1]);
		clock.ms = KEEP_MS - 1;
		expect(await reconciler.resync()).toMatchObject({ ops: 0, problems: [] });
		expect([filterHas(kernel, VIP), ports()]).toEqual([true, 1]);
		clock.ms = KEEP_MS;
		await reconciler.resync();
		expect([filterHas(kernel, VIP), ports()]).toEqual([false, 0]);
	});

	it('begins anew when a service has had it meanwhile, and when another agent finds it', async () => {
		const { kernel, clock, reconcilerOf, plan, ports } = setUp();
		const reconciler = reconcilerOf();
		await reconciler.replaceAll(plan('web'));
		await reconciler.replaceAll(plan());
		clock.ms = KEEP_MS - 1;
		await reconciler.replaceAll(plan('other'));
		await reconciler.replaceAll(plan());
		clock.ms = KEEP_MS + 1;
		await reconciler.resync();
		expect([filterHas(kernel, VIP), ports()]).toEqual([true, 1]);
		const next = reconcilerOf();
		await next.replaceAll(plan());
		clock.ms = 2 * KEEP_MS;
		await next.resync();
		expect([filterHas(kernel, VIP), ports()]).toEqual([true, 1]);
		clock.ms = 2 * KEEP_MS + 1;
		await next.resync();
		expect([filterHas(kernel, VIP), ports()]).toEqual([false, 0]);
	});
});
