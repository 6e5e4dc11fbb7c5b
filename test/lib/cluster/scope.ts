/**
 * Everything a test cluster leaves on the machine carries its name, so it can be found and removed without the process
 * that made it: namespaces, cgroups (with all processes), bpffs directories and one temporary directory.
 */
import {
	existsSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmdirSync,
	rmSync,
	statSync,
	writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { findCgroup2 } from '../../../agent/wiring/machine.ts';
import { eventually, run, sleep } from './exec.ts';

const REGISTRY = '/run/fairlead-clusters';
const BPFFS = '/sys/fs/bpf';

/** Mount point of the cgroup2 hierarchy. */
export function cgroupMount(): string {
	const found = findCgroup2();
	if (found === undefined) throw new Error('no cgroup2 hierarchy is mounted; scripts/bootstrap.sh mounts one');
	return found;
}

export interface Scope {
	readonly name: string;
	/** Logs, configurations, object YAML, run and state directories. */
	readonly dir: string;
	readonly cgroup: string;
}

let counter = 0;

/** A name for a new cluster, unique on the machine; short because interface names in the switch derive from it. */
export const uniqueName = (): string => `fl${process.pid.toString(36)}${(counter++).toString(36)}`;

/** Registers a cluster. A cluster with an owner is removed by the next one to start once that process has ended. */
export function createScope(name: string, kept: boolean): Scope {
	const scope = { name, dir: join('/tmp', name), cgroup: join(cgroupMount(), name) };
	mkdirSync(REGISTRY, { recursive: true, mode: 0o700 });
	writeFileSync(join(REGISTRY, name), `${kept ? 0 : process.pid}\n`, { flag: 'wx' });
	mkdirSync(scope.dir, { recursive: true, mode: 0o700 });
	mkdirSync(scope.cgroup, { recursive: true });
	return scope;
}

export const scopeExists = (name: string): boolean => existsSync(join(REGISTRY, name));

function processesOf(cgroup: string): number[] {
	if (!existsSync(cgroup)) return [];
	const pids = readFileSync(join(cgroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
	const children = readdirSync(cgroup, { withFileTypes: true }).filter((e) => e.isDirectory());
	return [...pids, ...children.flatMap((e) => processesOf(join(cgroup, e.name)))];
}

/** Ends every process of a cgroup and its children and waits until they are gone. */
export async function killCgroup(cgroup: string): Promise<void> {
	for (let attempt = 0; attempt < 200; attempt++) {
		const pids = processesOf(cgroup);
		if (pids.length === 0) return;
		for (const pid of pids) {
			try {
				process.kill(pid, 'SIGKILL');
			} catch {
				// ended meanwhile
			}
		}
		await sleep(25);
	}
	throw new Error(`${cgroup}: processes ${processesOf(cgroup).join(' ')} do not end after SIGKILL`);
}

/** Removes a cgroup with its children; every process must have ended. The kernel may still be at tidying up after the last one. */
export async function removeCgroup(cgroup: string): Promise<void> {
	if (!existsSync(cgroup)) return;
	for (const entry of readdirSync(cgroup, { withFileTypes: true })) {
		if (entry.isDirectory()) await removeCgroup(join(cgroup, entry.name));
	}
	await eventually(`cgroup ${cgroup} is removed`, () => rmdirSync(cgroup), { timeoutMs: 5000, intervalMs: 10 });
}

/** All network namespaces of a cluster: `NAME-…`. */
export function namespacesOf(name: string): string[] {
	if (!existsSync('/run/netns')) return [];
	return readdirSync('/run/netns').filter((ns) => ns.startsWith(`${name}-`));
}

/** Removes everything that carries the name, whoever made it; nothing there is no error. */
export async function removeScope(name: string): Promise<void> {
	const cgroup = join(cgroupMount(), name);
	await killCgroup(cgroup);
	for (const ns of namespacesOf(name)) await run(['ip', 'netns', 'del', ns]);
	for (const entry of readdirSync(BPFFS)) {
		if (entry.startsWith(`${name}-`)) rmSync(join(BPFFS, entry), { recursive: true, force: true });
	}
	await removeCgroup(cgroup);
	rmSync(join('/tmp', name), { recursive: true, force: true });
	rmSync(join(REGISTRY, name), { force: true });
}

/** What of a removed cluster is still on the machine; empty when all is gone. */
export function leftovers(name: string): string[] {
	const found = namespacesOf(name).map((ns) => `namespace ${ns}`);
	for (const entry of readdirSync(BPFFS)) if (entry.startsWith(`${name}-`)) found.push(`bpffs ${entry}`);
	for (const path of [join(cgroupMount(), name), join('/tmp', name)]) if (existsSync(path)) found.push(path);
	return found;
}

/** Removes clusters whose owner has ended without removing them (a killed test run), but for those that another process is removing. */
export async function sweep(): Promise<string[]> {
	if (!existsSync(REGISTRY)) return [];
	const removed: string[] = [];
	for (const name of readdirSync(REGISTRY)) {
		if (!isAbandoned(join(REGISTRY, name)) || !adopt(name)) continue;
		await removeScope(name);
		removed.push(name);
	}
	return removed;
}

function isAbandoned(entry: string): boolean {
	const found = statSync(entry, { throwIfNoEntry: false });
	return found !== undefined && Date.now() - found.mtimeMs >= 1000 && !hasOwner(entry);
}

/** A cluster that is kept has one, and so has an entry that is gone. */
function hasOwner(entry: string): boolean {
	try {
		const owner = Number(readFileSync(entry, 'utf8'));
		return owner === 0 || existsSync(`/proc/${owner}`);
	} catch {
		return true;
	}
}

/** Makes this process the owner; false when another one was faster. */
function adopt(name: string): boolean {
	const entry = join(REGISTRY, name);
	const taken = `${REGISTRY}.${process.pid}`;
	try {
		renameSync(entry, taken);
	} catch {
		return false;
	}
	const own = !hasOwner(taken);
	if (own) writeFileSync(taken, `${process.pid}\n`);
	renameSync(taken, entry);
	return own;
}
