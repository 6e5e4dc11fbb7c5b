import { defineConfig } from 'vitest/config';

/** Tests that need root and a kernel. What a file makes there carries its process's number in its name. */
const kernel = [
	'test/bpf/**/*.test.ts',
	'native/**/*.test.ts',
	'agent/kernel/**/*.test.ts',
	'agent/routing/**/*.test.ts',
];
/** Tests that build namespaces and run agents in them. */
const cluster = ['test/cluster/**/*.test.ts', 'test/cni*/**/*.test.ts', 'test/cni*.test.ts'];
const never = ['**/node_modules/**', 'dist/**', 'build/**'];
/** Files of kernel tests at a time: each computes about half of its time. */
const KERNEL_FILES = 2;
/**
 * Clusters at a time, each in namespaces, cgroups and directories of its own. Three take as long, and now and then one of them meets a limit of
 * time, when an emulated machine runs beside them.
 */
const CLUSTERS = 2;

export default defineConfig({
	test: {
		projects: [
			{
				test: {
					name: 'unit',
					include: ['**/*.test.ts'],
					exclude: [...never, ...kernel, ...cluster],
					maxWorkers: '100%',
					testTimeout: 60_000,
					hookTimeout: 60_000,
				},
			},
			{
				test: {
					name: 'kernel',
					include: kernel,
					exclude: never,
					pool: 'forks',
					maxWorkers: KERNEL_FILES,
					sequence: { groupOrder: 1 },
					testTimeout: 180_000,
					hookTimeout: 180_000,
				},
			},
			{
				test: {
					name: 'cluster',
					include: cluster,
					exclude: never,
					pool: 'forks',
					maxWorkers: CLUSTERS,
					sequence: { groupOrder: 2 },
					testTimeout: 300_000,
					hookTimeout: 300_000,
				},
			},
		],
	},
});
