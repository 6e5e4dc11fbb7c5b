import { defineConfig } from 'vitest/config';

/** Tests that need root and a kernel; they share the machine, so one file at a time. */
const kernel = [
	'test/bpf/**/*.test.ts',
	'native/**/*.test.ts',
	'agent/kernel/**/*.test.ts',
	'agent/routing/**/*.test.ts',
];
/** Tests that build namespaces and run agents in them. */
const cluster = ['test/cluster/**/*.test.ts', 'test/cni*/**/*.test.ts', 'test/cni*.test.ts'];
const never = ['**/node_modules/**', 'dist/**', 'build/**'];

export default defineConfig({
	test: {
		projects: [
			{
				test: {
					name: 'unit',
					include: ['**/*.test.ts'],
					exclude: [...never, ...kernel, ...cluster],
					testTimeout: 20_000,
				},
			},
			{
				test: {
					name: 'kernel',
					include: kernel,
					exclude: never,
					pool: 'forks',
					fileParallelism: false,
					testTimeout: 60_000,
					hookTimeout: 60_000,
				},
			},
			{
				test: {
					name: 'cluster',
					include: cluster,
					exclude: never,
					pool: 'forks',
					fileParallelism: false,
					testTimeout: 120_000,
					hookTimeout: 120_000,
				},
			},
		],
	},
});
