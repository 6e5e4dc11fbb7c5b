/**
 * How fast the service maps follow the cluster: 10,000 services into empty maps, and one endpoint that changes among
 * them. Each run is a process of its own (sync-worker.ts), as cold as an agent that starts.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { run } from '../test/lib/cluster/exec.ts';
import type { Figure, FigureInfo, Suite } from './figures.ts';
import { median, rounded, spread } from './figures.ts';
import type { SyncRun } from './sync-worker.ts';

const RUNS = 3;
const CHANGES = 1000;
const BPFFS = '/sys/fs/bpf';
/** As agent/main.ts starts the agent. */
const FLAGS = ['--max-semi-space-size=1', '--v8-pool-size=1'];

const FIGURES: readonly FigureInfo[] = [
	{
		id: 'sync.full.s',
		what: '10,000 services of 10 endpoints planned and programmed into empty maps',
		target: { atMost: 1 },
	},
	{
		id: 'sync.change.p99_ms',
		what: 'one endpoint changed at that size: object seen to maps done, 99th percentile',
		target: { atMost: 2 },
	},
];

/** The p-th part of sorted values. */
function percentile(sorted: readonly number[], p: number): number {
	return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN;
}

async function measureOnce(): Promise<SyncRun> {
	const directory = mkdtempSync(join(BPFFS, 'fairlead-sync-'));
	try {
		const worker = resolve(import.meta.dirname, 'sync-worker.ts');
		const { stdout } = await run([process.execPath, ...FLAGS, worker, directory, String(CHANGES)], {
			timeoutMs: 120_000,
		});
		return JSON.parse(stdout) as SyncRun;
	} finally {
		rmSync(directory, { recursive: true, force: true });
	}
}

export const syncSuite: Suite = {
	name: 'sync',
	figures: FIGURES,
	async run(ids, progress) {
		const runs: SyncRun[] = [];
		for (let i = 0; i < RUNS; i++) {
			progress(`run ${i + 1} of ${RUNS}`);
			runs.push(await measureOnce());
		}
		const full = runs.map(({ fullMs }) => fullMs / 1000);
		const changes = runs.map(({ changesMs }) => [...changesMs].sort((a, b) => a - b));
		const p99 = changes.map((sorted) => percentile(sorted, 0.99));
		const half = median(changes.map((sorted) => percentile(sorted, 0.5)));
		const resident = median(runs.map(({ residentMb }) => residentMb));
		const cpu = median(runs.map(({ fullCpuMs }) => fullCpuMs / 1000));
		const figures: Figure[] = [
			{
				id: 'sync.full.s',
				value: rounded(median(full)),
				unit: 's',
				baseline: '',
				runs: RUNS,
				note: `${runs[0]?.operations} operations; spread ${spread(full, 2)}; ${cpu.toFixed(2)} s of CPU; ${resident.toFixed(0)} MB resident with the cluster's objects`,
			},
			{
				id: 'sync.change.p99_ms',
				value: rounded(median(p99)),
				unit: 'ms',
				baseline: '',
				runs: RUNS,
				note: `${CHANGES} changes per run; median ${half.toFixed(2)}; spread of the p99 ${spread(p99, 2)}`,
			},
		];
		return figures.filter(({ id }) => ids.has(id));
	},
};
