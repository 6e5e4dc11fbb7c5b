/**
 * Runs everything that must hold: checks of the sources, then all tests. Each check and each test counts as one. What mostly waits, and what
 * only computes and has no limits of time to keep, run beside each other (see `lanes`).
 * The last line is `N passed, M failed, K skipped`; the exit code is not 0 when anything failed or nothing ran.
 *
 * Usage: node scripts/test.ts [--only PREFIX]...     PREFIX of the step names below, e.g. check, unit, kernel, cluster, native, other
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

interface Counts {
	passed: number;
	failed: number;
	skipped: number;
}

/**
 * One thing to run. `report` is the vitest project whose JSON report gives the counts; `counted` steps end with a line of counts as this
 * script does; any other step is one test.
 */
interface Step {
	name: string;
	command: readonly string[];
	limitMs: number;
	report?: string;
	counted?: boolean;
}

/** What scripts/test.ts reads of vitest's JSON report. */
interface Report {
	numPassedTests: number;
	numFailedTests: number;
	numPendingTests: number;
	numTodoTests: number;
	success: boolean;
	testResults: readonly {
		name: string;
		status: string;
		message: string;
		assertionResults: readonly { status: string; fullName: string }[];
	}[];
}

const root = join(import.meta.dirname, '..');
const reportDir = join(root, 'build', 'reports');
const minute = 60_000;

const check = (name: string, ...command: string[]): Step => ({ name: `check ${name}`, command, limitMs: 2 * minute });
const tests = (project: string, limitMs: number): Step => ({
	name: `${project} tests`,
	command: ['vitest', 'run', '--project', project, '--reporter=dot', '--reporter=json'],
	limitMs,
	report: project,
});

/**
 * The steps of a lane run one after the other, the lanes at once. Tests that wait for the kernel, for agents and for packets leave half of
 * two cores idle; the second lane takes those, at a lower priority: a compiler or an emulated machine does not mind. The limits are
 * some five times what the steps need beside each other on two cores, and a lane as a whole stays below 90 minutes.
 */
const lanes: readonly (readonly Step[])[] = [
	[
		check('types', 'tsc', '--noEmit', '-p', 'tsconfig.json'),
		check('TypeScript format and lint', 'scripts/format.sh', '--check', 'ts'),
		check('C and C++ format', 'scripts/format.sh', '--check', 'c'),
		check('shell scripts', 'bash', '-c', 'shellcheck -x $(git ls-files "*.sh") .ci/run'),
		check('lock file is complete', 'npm', 'ci', '--dry-run'),
		tests('unit', 15 * minute),
		tests('kernel', 20 * minute),
		tests('cluster', 40 * minute),
	],
	[
		{ name: 'check C++ lint', command: ['scripts/lint-native.sh'], limitMs: 20 * minute },
		{ name: 'native tests under sanitizers', command: ['scripts/native-asan.sh'], limitMs: 25 * minute },
		{
			name: 'other kernels',
			command: ['node', 'scripts/test-kernels.ts', '--short'],
			limitMs: 40 * minute,
			counted: true,
		},
	],
];
/** Of the second lane's processes. */
const NICE = ['nice', '-n', '5'];
/** What waits of tests are multiplied by: it costs time only where something fails. */
const PATIENCE = '3';

const say = (text: string): void => void writeSync(1, `${text}\n`);

/**
 * Runs a command in its own process group, so that the whole group ends when the time limit is over.
 * @param shown  whether its output is shown as it comes
 */
function run(command: readonly string[], limitMs: number, shown: boolean): Promise<{ code: number; output: string }> {
	const [file = '', ...args] = command;
	const { promise, resolve } = Promise.withResolvers<{ code: number; output: string }>();
	const child = spawn(file, args, {
		cwd: root,
		detached: true,
		stdio: ['ignore', 'pipe', 'pipe'],
		env: { TEST_PATIENCE: PATIENCE, ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined },
	});
	const chunks: string[] = [];
	const keep = (data: Buffer): void => {
		chunks.push(data.toString());
		if (shown) process.stderr.write(data);
	};
	child.stdout.on('data', keep);
	child.stderr.on('data', keep);
	const killGroup = (signal: NodeJS.Signals): void => {
		try {
			if (child.pid) process.kill(-child.pid, signal);
		} catch {
			// the group has ended
		}
	};
	const timer = setTimeout(() => {
		chunks.push(`\nended after ${limitMs / 1000} s, its time limit\n`);
		killGroup('SIGTERM');
		setTimeout(() => killGroup('SIGKILL'), 10_000).unref();
	}, limitMs);
	child.on('error', (error) => chunks.push(String(error)));
	child.on('close', (code) => {
		clearTimeout(timer);
		resolve({ code: code ?? 1, output: chunks.join('') });
	});
	return promise;
}

/** Counts of a vitest report; a file that could not run, or a run that failed without a failed test, is one failure. */
function countReport(file: string, code: number): Counts {
	if (!existsSync(file)) return { passed: 0, failed: 1, skipped: 0 };
	const report = JSON.parse(readFileSync(file, 'utf8')) as Report;
	const broken = report.testResults.filter(
		(f) => f.status === 'failed' && !f.assertionResults.some((t) => t.status === 'failed'),
	);
	for (const f of broken) say(`  could not run ${f.name}: ${f.message.split('\n')[0] ?? ''}`);
	for (const f of report.testResults) {
		for (const t of f.assertionResults) {
			if (t.status === 'failed') say(`  failed: ${t.fullName} (${f.name})`);
			else if (t.status !== 'passed') say(`  ${t.status}: ${t.fullName} (${f.name})`);
		}
	}
	const failed = report.numFailedTests + broken.length;
	return {
		passed: report.numPassedTests,
		failed: failed === 0 && code !== 0 ? 1 : failed,
		skipped: report.numPendingTests + report.numTodoTests,
	};
}

/** Counts of a step that prints them in its last line; one that does not come to it is one failure. */
function readCounts(output: string, code: number): Counts {
	for (const line of output.split('\n')) if (/^(fail|skip) /.test(line)) say(`  ${line}`);
	const match = /^(\d+) passed, (\d+) failed, (\d+) skipped$/m.exec(output.split('\n').slice(-3).join('\n'));
	if (match === null) {
		say(output.split('\n').slice(-40).join('\n'));
		return { passed: 0, failed: 1, skipped: 0 };
	}
	const [passed, failed, skipped] = match.slice(1).map(Number) as [number, number, number];
	return { passed, failed: failed === 0 && code !== 0 ? 1 : failed, skipped };
}

async function runStep(step: Step, lane: number): Promise<Counts> {
	const started = Date.now();
	const file = join(reportDir, `${step.report}.json`);
	rmSync(file, { force: true });
	const command = [...(lane > 0 ? NICE : []), ...step.command, ...(step.report ? [`--outputFile.json=${file}`] : [])];
	const shown = lane === 0 && (step.report !== undefined || step.counted === true);
	say(`==> ${step.name}`);
	const { code, output } = await run(command, step.limitMs, shown);
	const seconds = ((Date.now() - started) / 1000).toFixed(1);
	if (!step.report && !step.counted) {
		if (code !== 0) say(output.split('\n').slice(-80).join('\n'));
		say(`    ${step.name}: ${code === 0 ? 'ok' : 'FAILED'} in ${seconds} s`);
		return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
	}
	const counts = step.counted ? readCounts(output, code) : countReport(file, code);
	say(`    ${step.name}: ${formatCounts(counts)} in ${seconds} s`);
	return counts;
}

const formatCounts = ({ passed, failed, skipped }: Counts): string =>
	`${passed} passed, ${failed} failed, ${skipped} skipped`;

const total: Counts = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = [];

async function runLane(steps: readonly Step[], lane: number): Promise<void> {
	for (const step of steps) {
		const counts = await runStep(step, lane);
		total.passed += counts.passed;
		total.failed += counts.failed;
		total.skipped += counts.skipped;
		if (counts.failed > 0) failures.push(step.name);
	}
}

const USAGE = `usage: npm test -- [--only STEP]...
  --only  the steps whose names begin so; all: ${lanes
		.flat()
		.map(({ name }) => JSON.stringify(name))
		.join(', ')}`;

function readOnly(): readonly string[] | undefined {
	try {
		const options = { only: { type: 'string', multiple: true }, help: { type: 'boolean', short: 'h' } } as const;
		const { only, help } = parseArgs({ options }).values;
		if (help !== true) return only;
		console.log(USAGE);
		process.exit(0);
	} catch (error) {
		console.error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
		process.exit(1);
	}
}

const only = readOnly();
const isChosen = (step: Step): boolean => only === undefined || only.some((prefix) => step.name.startsWith(prefix));
const chosen = lanes.map((steps) => steps.filter(isChosen)).filter((steps) => steps.length > 0);
if (chosen.length === 0) {
	console.error(`no step begins with ${only?.join(' or ')}\n${USAGE}`);
	process.exit(1);
}
mkdirSync(reportDir, { recursive: true });
await Promise.all(chosen.map(runLane));
if (failures.length > 0) say(`failed: ${failures.join(', ')}`);
say(formatCounts(total));
process.exit(total.failed > 0 || total.passed === 0 ? 1 : 0);
