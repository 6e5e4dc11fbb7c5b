/** Renders the Helm chart with Go's template engine (render.go). */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { KubernetesObject } from '@kubernetes/client-node';
import { CHART_DIR } from '../../manifests/source/generate.ts';

const SOURCE = join(import.meta.dirname, 'render.go');
const BUILD = join(import.meta.dirname, '../../build/helm');
/** Where Debian's packages of Go libraries are. */
const GOPATH = '/usr/share/gocode';

/** Compiles the renderer unless that is done; some ten seconds. @returns the executable */
export function buildRenderer(): string {
	const program = join(BUILD, 'render');
	if (existsSync(program) && statSync(program).mtimeMs > statSync(SOURCE).mtimeMs) return program;
	mkdirSync(BUILD, { recursive: true });
	const staged = `${program}.${process.pid}`;
	const env = {
		...process.env,
		GO111MODULE: 'off',
		GOPATH,
		GOCACHE: join(BUILD, 'cache'),
		GOFLAGS: '',
		CGO_ENABLED: '0',
	};
	execFileSync('go', ['build', '-o', staged, SOURCE], { env, stdio: 'pipe' });
	renameSync(staged, program);
	return program;
}

export interface ChartCase {
	readonly values: unknown;
	readonly namespace: string;
	/** 'v1.33.0' */
	readonly kubeVersion: string;
}

export interface ChartResult {
	readonly objects?: readonly KubernetesObject[];
	readonly error?: string;
}

/** All cases in one go. */
export function renderChart(cases: readonly ChartCase[]): ChartResult[] {
	const input = JSON.stringify({ chart: CHART_DIR, cases });
	return JSON.parse(execFileSync(buildRenderer(), { input, encoding: 'utf8' })) as ChartResult[];
}
