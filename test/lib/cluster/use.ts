/**
 * Test clusters as vitest fixtures: made before the tests of a `describe` block, removed after them whatever happened; when a
 * test fails, the agents' logs are printed and kept in build/failed.
 */
import { afterAll, afterEach, beforeAll } from 'vitest';
import { Cluster, type ClusterOptions } from '../cluster.ts';

/** Registers a cluster for the enclosing block; the function returned gives it to the tests. */
export function useCluster(options: ClusterOptions, setUp?: (cluster: Cluster) => Promise<void>): () => Cluster {
	let cluster: Cluster | undefined;
	beforeAll(async () => {
		const made = await Cluster.create(options);
		cluster = made;
		try {
			await setUp?.(made);
		} catch (error) {
			console.error(`${made.diagnostics()}\nlogs: ${made.saveLogs()}`);
			throw error;
		}
	}, 400_000);
	afterEach((context) => {
		if (context.task.result?.state === 'fail' && cluster) {
			console.error(`${cluster.diagnostics()}\nlogs: ${cluster.saveLogs()}`);
		}
	});
	afterAll(async () => {
		await cluster?.destroy();
	}, 200_000);
	return () => {
		if (!cluster) throw new Error('the cluster is made before the tests; ask for it inside a test');
		return cluster;
	};
}
