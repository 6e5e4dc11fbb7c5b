/**
 * Runs the dataplane on other kernels than the host's: Debian's, each in an emulated machine (see test/kernels). One line per
 * kernel and option set; the last line is `N passed, M failed, K skipped`, where a kernel that is not served is skipped.
 * Changes on the host: installs the Debian packages of scripts/packages-kernels.txt that are missing; writes below build/kernels.
 *
 * Usage: node scripts/test-kernels.ts [SERIES]...     e.g. 6.1; default all
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { boot } from '../test/kernels/boot.ts';
import { fetchKernel, findFile, type KernelTree, SOURCES, type Source } from '../test/kernels/fetch.ts';
import { packImage, stageBase } from '../test/kernels/image.ts';
import { parseLine, type Result } from '../test/kernels/report.ts';

const ROOT = join(import.meta.dirname, '..');
const DIRECTORY = join(ROOT, 'build/kernels');
const LIMIT_MS = 15 * 60_000;
const counts: Record<Result, number> = { pass: 0, fail: 0, skip: 0 };

function tell(result: Result, text: string): void {
	counts[result]++;
	console.log(`${result}  ${text}`);
}

function installPackages(): void {
	const wanted = readFileSync(join(import.meta.dirname, 'packages-kernels.txt'), 'utf8')
		.split('\n')
		.filter(Boolean);
	const missing = wanted.filter((name) => !isInstalled(name));
	if (missing.length === 0) return;
	console.error(`==> installing Debian packages: ${missing.join(' ')}`);
	const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
	const options = ['-qq', '-o', 'DPkg::Lock::Timeout=180'];
	const run = (...args: string[]) => execFileSync('apt-get', [...options, ...args], { env, stdio: 'pipe' });
	run('update');
	run('install', '--no-install-recommends', '-y', ...missing);
}

function isInstalled(name: string): boolean {
	try {
		const options = ['-W', '-f', '$' + '{db:Status-Status}', name];
		return (
			execFileSync('dpkg-query', options, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }) === 'installed'
		);
	} catch {
		return false; // dpkg has never heard of it
	}
}

function fetch(source: Source): KernelTree | undefined {
	try {
		return fetchKernel(source, DIRECTORY);
	} catch (error) {
		const why = error instanceof Error ? error.message.split('\n').slice(0, 3).join(' ') : String(error);
		tell('skip', `${source.suite} ${source.series || '(newest)'}: ${why}`);
		return undefined;
	}
}

async function testKernel(kernel: KernelTree, base: string): Promise<void> {
	const logFile = join(DIRECTORY, `${kernel.release}.log`);
	const machine = {
		kernel: findFile(kernel.root, kernel.release) ?? '',
		initramfs: packImage(base, kernel),
		logFile,
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
}

installPackages();
mkdirSync(DIRECTORY, { recursive: true });
const series = process.argv.slice(2);
const base = join(DIRECTORY, 'base');
await stageBase(base);
const tested = new Set<string>();
for (const source of SOURCES) {
	if (series.length > 0 && !series.some((each) => source.series.startsWith(each) || source.suite === each)) continue;
	const kernel = fetch(source);
	if (kernel === undefined || tested.has(kernel.release)) continue;
	tested.add(kernel.release);
	await testKernel(kernel, base);
}
console.log(`${counts.pass} passed, ${counts.fail} failed, ${counts.skip} skipped`);
process.exitCode = counts.fail > 0 || counts.pass === 0 ? 1 : 0;
