/**
 * The guest's root file system: an initramfs with this checkout's sources that the agent and the tests really import, the
 * built addon, programs and plugin, Node.js, a few tools and the kernel's own network modules.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
	chmodSync,
	copyFileSync,
	cpSync,
	existsSync,
	mkdirSync,
	readdirSync,
	realpathSync,
	rmSync,
	symlinkSync,
	utimesSync,
} from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';
import { build } from 'esbuild';
import { compileBpf } from '../../scripts/build-bpf.ts';
import { bundleAll } from '../../scripts/bundle.ts';
import { findFile, type KernelTree } from './fetch.ts';

const ROOT = join(import.meta.dirname, '../..');
const HOME = 'fairlead';
const LIMIT_MS = 240_000;
/** What the guest runs beside the bundled agent; all that it imports comes along. */
const ENTRIES = ['test/kernels/guest.ts'];
const BUILT = ['package.json', 'proto', 'dist/bpf', 'dist/cni/fairlead-cni', 'native/build/Release/fairlead.node'];
const ECHO = ['-std=gnu11', '-Wall', '-Wextra', '-Werror', '-static', '-Os', '-s'];
const TOOLS = ['dash', 'ethtool', 'ip', 'modprobe', 'nsenter', 'ss'];
/** With what they need themselves. Kernels have some of them built in, or not at all. */
const MODULES = [
	...['veth', 'vxlan', 'dummy', 'bridge', 'sch_ingress', 'cls_bpf', 'sctp', 'crc32c_generic', 'crc32c_intel'],
	...['inet_diag', 'tcp_diag', 'udp_diag', 'sctp_diag', 'af_packet'],
];
/** Where those are found. */
const MODULE_PARTS = ['kernel/net', 'kernel/drivers/net', 'kernel/lib', 'kernel/crypto', 'kernel/arch/x86/crypto'];

/** Puts together what is the same for all kernels. @param directory is made anew */
export async function stageBase(directory: string): Promise<void> {
	rmSync(directory, { recursive: true, force: true });
	for (const path of [...(await importedFiles()), ...BUILT]) copyInto(join(directory, HOME), path);
	await bundleAgent(join(directory, HOME, 'dist'));
	const source = join(ROOT, 'test/lib/programs/xdp-pass.bpf.c');
	await compileBpf({ source, output: join(directory, HOME, 'dist/xdp-pass.bpf.o') });
	const node = realpathSync(join(ROOT, 'node_modules/.bin/node'));
	copyInto(join(directory, HOME), relative(ROOT, node));
	mkdirSync(join(directory, HOME, 'node_modules/.bin'), { recursive: true });
	symlinkSync(relative(join(ROOT, 'node_modules/.bin'), node), join(directory, HOME, 'node_modules/.bin/node'));
	for (const path of ['usr/sbin', 'usr/bin', 'bin']) mkdirSync(join(directory, path), { recursive: true });
	symlinkSync('usr/sbin', join(directory, 'sbin')); // where the kernel looks for modprobe
	const tools = TOOLS.map(which);
	for (const tool of tools) copyFileSync(realpathSync(tool), join(directory, 'usr/sbin', basename(tool)));
	copyFileSync(which('busybox'), join(directory, 'bin/busybox'));
	const echo = ['-o', join(directory, 'usr/sbin/fl-echo'), join(import.meta.dirname, 'echo.c')];
	execFileSync('gcc', [...ECHO, ...echo], { timeout: LIMIT_MS });
	symlinkSync('../usr/sbin/dash', join(directory, 'bin/sh'));
	copyFileSync(join(import.meta.dirname, 'init.sh'), join(directory, 'init'));
	chmodSync(join(directory, 'init'), 0o755);
	const needed = [node, join(ROOT, 'native/build/Release/fairlead.node'), ...tools].flatMap(libraries);
	for (const library of new Set(needed)) {
		mkdirSync(join(directory, dirname(library)), { recursive: true });
		copyFileSync(realpathSync(library), join(directory, library));
	}
}

/** The agent as it is installed. Test clusters start it if it is newer than its sources, and the archive keeps whole seconds. */
async function bundleAgent(directory: string): Promise<void> {
	await bundleAll(directory);
	const later = new Date(Date.now() + 60_000);
	utimesSync(join(directory, 'agent/main.js'), later, later);
}

/** Packs the base together with a kernel's modules. @returns path of the archive */
export function packImage(base: string, kernel: KernelTree): string {
	const modules = `${kernel.root}.modules`;
	const release = join('lib/modules', kernel.release);
	rmSync(modules, { recursive: true, force: true });
	// Since Debian 13 packages use /usr/lib.
	const tree = ['', 'usr'].map((prefix) => join(kernel.root, prefix, release)).find((path) => existsSync(path));
	if (tree === undefined) throw new Error(`${kernel.root} has no modules of ${kernel.release}`);
	for (const part of MODULE_PARTS) {
		const from = join(tree, part);
		if (existsSync(from)) cpSync(from, join(modules, release, part), { recursive: true });
	}
	for (const list of ['modules.builtin', 'modules.order', 'modules.builtin.modinfo']) {
		const from = join(tree, list);
		if (existsSync(from)) copyFileSync(from, join(modules, release, list));
	}
	depmod(modules, kernel.release);
	keepModules(modules, kernel.release);
	execFileSync('sh', ['-c', `find "$1" -name '*.ko.xz' -exec xz -d {} +`, 'unpack', modules], { timeout: LIMIT_MS });
	depmod(modules, kernel.release);
	const config = findFile(kernel.root, kernel.release, 'config');
	if (config !== undefined) {
		mkdirSync(join(modules, 'boot'));
		copyFileSync(config, join(modules, 'boot', `config-${kernel.release}`));
	}
	const image = `${kernel.root}.cpio`;
	// Two archives in one: the kernel unpacks them one after the other.
	const script = 'for d in "$1" "$2"; do (cd "$d" && find . | cpio --quiet -o -H newc); done >"$3"';
	execFileSync('sh', ['-ec', script, 'pack', base, modules, image], { timeout: LIMIT_MS });
	rmSync(modules, { recursive: true });
	return image;
}

function depmod(directory: string, release: string): void {
	execFileSync('depmod', ['-b', directory, release], { timeout: LIMIT_MS, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Removes what none of MODULES needs. */
function keepModules(directory: string, release: string): void {
	const kept = new Set<string>();
	for (const name of MODULES) {
		const options = ['-d', directory, '-S', release, '--show-depends', name];
		const { stdout } = spawnSync('modprobe', options, { encoding: 'utf8', timeout: LIMIT_MS });
		for (const match of stdout.matchAll(/^insmod (\S+)/gm)) kept.add(match[1] ?? '');
	}
	for (const file of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
		const path = join(directory, file);
		if (/\.ko(\.xz)?$/.test(file) && !kept.has(path)) rmSync(path);
	}
}

/** Sources and packages that the entries import, directly or not, with the package.json of each package. */
async function importedFiles(): Promise<string[]> {
	const { metafile } = await build({
		absWorkingDir: ROOT,
		entryPoints: ENTRIES,
		bundle: true,
		metafile: true,
		write: false,
		outdir: 'unused',
		platform: 'node',
		format: 'esm',
		logLevel: 'silent',
		loader: { '.node': 'empty' },
	});
	const files = new Set(Object.keys(metafile.inputs).filter((path) => !path.startsWith('..')));
	for (const path of [...files]) {
		for (let up = dirname(path); up.startsWith(`node_modules${sep}`); up = dirname(up)) {
			const manifest = join(up, 'package.json');
			if (existsSync(join(ROOT, manifest))) files.add(manifest);
		}
	}
	return [...files];
}

function copyInto(directory: string, path: string): void {
	mkdirSync(dirname(join(directory, path)), { recursive: true });
	cpSync(join(ROOT, path), join(directory, path), { recursive: true });
}

function which(tool: string): string {
	const path = execFileSync('sh', ['-c', 'command -v "$1"', 'which', tool], {
		encoding: 'utf8',
		env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
	});
	return path.trim();
}

/** Shared libraries of an executable, the dynamic loader among them. */
function libraries(file: string): string[] {
	const listing = execFileSync('ldd', [file], { encoding: 'utf8', timeout: 10_000 });
	return [...listing.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1] ?? '');
}
