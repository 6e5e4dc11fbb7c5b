/** Benchmarks run outside of the tests: one that no longer matches the code would be noticed only when its figures are wanted. */
import { mkdtempSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import type { SyncRun } from '../../bench/sync-worker.ts';
import { run } from '../lib/cluster/exec.ts';

test('the benchmark of service changes programs what it measures', async () => {
	const directory = mkdtempSync(join('/sys/fs/bpf', 'fairlead-sync-'));
	const worker = resolve(import.meta.dirname, '../../bench/sync-worker.ts');
	const { stdout } = await run([process.execPath, worker, directory, '3'], { timeoutMs: 120_000 });
	const { operations, changesMs } = JSON.parse(stdout) as SyncRun;
	expect(operations).toBeGreaterThan(100_000);
	expect(changesMs).toHaveLength(3);
});
