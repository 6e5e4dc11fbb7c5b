import { describe, expect, it } from 'vitest';
import { bigCluster, CONTEXT, clusterOf, service, slice } from '../../test/lib/cluster-builder.ts';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
import { readServices } from '../../test/lib/service-maps.ts';
import { planServices } from '../plan/services.ts';
import type { LoopClock } from './loop.ts';
import type { ReconcileReport } from './services.ts';
import { ServicesReconciler } from './services.ts';
import { ServicesLoop } from './services-loop.ts';

function setUp() {
	const tasks: { task: () => void; delayMs: number }[] = [];
	const clock: LoopClock = {
		schedule: (task, delayMs) => {
			const entry = { task, delayMs };
			tasks.push(entry);
			return () => void (tasks.includes(entry) && tasks.splice(tasks.indexOf(entry), 1));
		},
		random: () => 0,
	};
	const kernel = new FakeKernel();
	const reports: ReconcileReport[] = [];
	const problems: string[][] = [];
	const loop = new ServicesLoop({
		reconciler: new ServicesReconciler({ kernel }),
		onReport: (report) => reports.push(report),
		onProblems: (list) => problems.push([...list]),
		clock,
	});
	const runTimers = async (): Promise<void> => {
		for (const { task } of tasks.splice(0)) task();
		await loop.idle();
	};
	return { kernel, loop, reports, problems, tasks, runTimers };
}

const plan = (endpoints: string[]) => planServices(clusterOf([service('web')], [slice('web', endpoints)]), [], CONTEXT);
const backends = (kernel: FakeKernel) => readServices(kernel).services[1]?.all.map((key) => key.split('|')[0]);

describe('ServicesLoop', () => {
	it('joins changes that come together into one run', async () => {
		const { loop, reports, kernel } = setUp();
		await loop.start(new Map());
		for (let i = 1; i <= 5; i++) loop.enqueue(plan([`10.0.0.${i}`]));
		await loop.idle();
		expect(reports).toHaveLength(2);
		expect(backends(kernel)).toEqual(['10.0.0.5']);
	});

	it('frees what is out of use only when things are quiet, with one grace period', async () => {
		const { loop, kernel, tasks, runTimers } = setUp();
		await loop.start(plan(['10.0.0.1']));
		for (let i = 2; i <= 4; i++) {
			loop.enqueue(plan([`10.0.0.${i}`]));
			await loop.idle();
		}
		expect(kernel.count('barrier')).toBe(0);
		expect(tasks).toHaveLength(1);
		await runTimers();
		expect(kernel.count('barrier')).toBe(1);
	});

	it('tries again after a failure and compares everything then', async () => {
		const { loop, kernel, reports, problems, runTimers } = setUp();
		await loop.start(plan(['10.0.0.1']));
		kernel.fault = ({ call }) => (call === 'set' ? 'EPERM' : undefined);
		loop.enqueue(plan(['10.0.0.2']));
		await loop.idle();
		expect(backends(kernel)).toEqual(['10.0.0.1']);
		expect(problems.flat().join()).toContain('EPERM');
		kernel.fault = undefined;
		await runTimers();
		expect(backends(kernel)).toEqual(['10.0.0.2']);
		expect(reports.at(-1)).toMatchObject({ full: true, problems: [] });
		expect(problems.at(-1)).toEqual([]);
	});

	it('retries a first delivery that failed', async () => {
		const { loop, kernel, runTimers } = setUp();
		kernel.fault = ({ call }) => (call === 'set' ? 'EPERM' : undefined);
		await loop.start(plan(['10.0.0.1']));
		await loop.idle();
		kernel.fault = undefined;
		await runTimers();
		expect(backends(kernel)).toEqual(['10.0.0.1']);
	});

	it('repairs foreign changes when asked to compare everything', async () => {
		const { loop, kernel } = setUp();
		await loop.start(plan(['10.0.0.1']));
		for (const [key] of [...kernel.mapEntries('services')]) kernel.mapDelete('services', key);
		loop.resync();
		await loop.idle();
		expect(backends(kernel)).toEqual(['10.0.0.1']);
	});

	it('programs 10,000 services of 10 endpoints with a handful of system calls', async () => {
		const kernel = new FakeKernel({ capacity: { services: 65536, slots: 65536, backends: 262144 } });
		const reconciler = new ServicesReconciler({ kernel });
		const report = await reconciler.replaceAll(planServices(bigCluster(10_000, 10), [], CONTEXT));
		expect(report.problems).toEqual([]);
		expect(reconciler.usage()).toMatchObject({
			services: { used: 20_000 },
			backends: { used: 100_000 },
			slots: { used: 10_000 },
		});
		expect(kernel.log.length).toBeLessThan(10);
	});
});
