/**
 * Runs the dataplane on other kernels than the host's: Debian's, each in an emulated machine (see test/kernels), two at a time. One line per
 * check; the last line is `N passed, M failed, K skipped`, where a kernel that is not served any more is skipped.
 * Changes on the host: installs the Debian packages of scripts/packages-kernels.txt that are missing; writes below build/kernels.
 *
 * Usage: node scripts/test-kernels.ts [--short] [--only PART] [SERIES | SUITE]...     e.g. 6.1 or trixie; default all
 *   --short   what `npm test` runs: 6.1 and the newest, fewer option sets
 *   --only    one part: options (load programs), vxlan, direct (nodes with that routing)
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { boot } from '../test/kernels/boot.ts';
import { fetchKernel, findFile, type KernelTree, SOURCES, type Source } from '../test/kernels/fetch.ts';
import { packImage, stageBase } from '../test/kernels/image.ts';
import { installPackages } from '../test/kernels/packages.ts';
import { parseLine, type Result } from '../test/kernels/report.ts';

const ROOT = join(import.meta.dirname, '..');
const DIRECTORY = join(ROOT, 'build/kernels');
const AT_ONCE = 2;
const LIMIT_MS = 30 * 60_000;

const { values, positionals } = parseArgs({
	options: { short: { type: 'boolean' }, only: { type: 'string' } },
	allowPositionals: true,
});
const short = values.short ?? false;
const counts: Record<Result, number> = { pass: 0, fail: 0, skip: 0 };

function tell(result: Result, text: string): void {
	counts[result]++;
	console.log(`${result}  ${text}`);
}

function isWanted(source: Source): boolean {
	if (positionals.length > 0) return positionals.some((each) => source.suite === each || source.series === `${each}.`);
	return !short || source.short;
}

function fetch(source: Source): KernelTree | undefined {
	try {
		return fetchKernel(source, DIRECTORY);
	} catch (error) {
		const why = error instanceof Error ? error.message.split('\n').slice(0, 3).join(' ') : String(error);
		tell(source.served ? 'fail' : 'skip', `${source.suite} ${source.series || '(newest)'}: ${why}`);
		return undefined;
	}
}

async function testKernel(kernel: KernelTree, base: string): Promise<void> {
	const started = performance.now();
	const logFile = join(DIRECTORY, `${kernel.release}.log`);
	const machine = {
		kernel: findFile(kernel.root, kernel.release) ?? '',
		initramfs: packImage(base, kernel),
		logFile,
		options: [short && 'fairlead.short', values.only && `fairlead.only=${values.only}`].filter(Boolean).join(' '),
		limitMs: LIMIT_MS,
	};
	let status: string | undefined;
	const why = await boot(machine, (text) => {
		const line = parseLine(text);
		if (line === undefined) return;
		if (line.kind === 'end') status = line.text;
		else if (line.kind === 'note') console.log(`      ${kernel.release}: ${line.text}`);
		else tell(line.kind, `${kernel.release}: ${line.text}`);
	});
	if (why !== undefined || status !== '0')
		tell(
			'fail',
			`${kernel.release}: the guest did not come to its end: ${why ?? `exit status ${status}`}; see ${logFile}`,
		);
	console.log(`      ${kernel.release}: ended after ${((performance.now() - started) / 1000).toFixed(0)} s`);
}

installPackages(join(import.meta.dirname, 'packages-kernels.txt'));
mkdirSync(DIRECTORY, { recursive: true });
const base = join(DIRECTORY, 'base');
await stageBase(base);
const kernels = new Map<string, KernelTree>();
for (const source of SOURCES.filter(isWanted)) {
	const kernel = fetch(source);
	if (kernel !== undefined) kernels.set(kernel.release, kernel);
}
const waiting = [...kernels.values()];
const work = async (): Promise<void> => {
	for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await testKernel(next, base);
};
await Promise.all(Array.from({ length: AT_ONCE }, work));
console.log(`${counts.pass} passed, ${counts.fail} failed, ${counts.skip} skipped`);
process.exitCode = counts.fail > 0 || counts.pass === 0 ? 1 : 0;
