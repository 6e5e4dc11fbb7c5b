/**
 * Facts of the machine that automatic configuration values depend on. Reads only.
 */
import { readFileSync } from 'node:fs';
import { type PortRange, parsePortRanges } from '../config/automatic.ts';

function readSysctl(path: string): string {
	try {
		return readFileSync(`/proc/sys/${path}`, 'utf8').trim();
	} catch {
		return '';
	}
}

/** net.ipv4.ip_local_port_range of the process's network namespace. */
export function localPortRange(): PortRange {
	const [min = '32768', max = '60999'] = readSysctl('net/ipv4/ip_local_port_range').split(/\s+/);
	return { min: Number(min), max: Number(max) };
}

/** net.ipv4.ip_local_reserved_ports */
export function reservedPorts(): PortRange[] {
	return parsePortRanges(readSysctl('net/ipv4/ip_local_reserved_ports'));
}

/** Where people look for cgroup v2, and where it is beside v1. */
const USUAL_CGROUP_MOUNTS: readonly string[] = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'];

/**
 * Mount point of the hierarchy of cgroup v2 in the text of /proc/self/mountinfo: the mount that shows most of it, since processes
 * elsewhere are missed. Of several that do, a usual one, or the first.
 */
export function cgroup2Mount(mountinfo: string): string | undefined {
	const mounts = mountinfo.split('\n').flatMap((line) => {
		const [, , , root = '', point = ''] = line.split(' ');
		const type = /^.*? - (\S+)/.exec(line)?.[1];
		return type === 'cgroup2' ? [{ height: heightOf(root), point: unescaped(point) }] : [];
	});
	const highest = Math.max(...mounts.map(({ height }) => height));
	const points = mounts.filter(({ height }) => height === highest).map(({ point }) => point);
	return USUAL_CGROUP_MOUNTS.find((usual) => points.includes(usual)) ?? points[0];
}

/**
 * How far above the root of the process's cgroup namespace a mount begins: 0 = '/', which is the hierarchy's root outside containers; 2 =
 * '/../..', a mount of the host's in a container. Below everything else: a part of the hierarchy, such as '/system.slice' or '/../other'.
 */
function heightOf(root: string): number {
	if (root === '/') return 0;
	return /^(\/\.\.)+$/.test(root) ? root.length / '/..'.length : -1;
}

/** The kernel writes blanks and backslashes in paths as octal numbers. */
function unescaped(path: string): string {
	return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Where cgroup v2 is mounted; undefined = nowhere. */
export function findCgroup2(): string | undefined {
	return cgroup2Mount(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** Changes with every boot. */
export function bootId(): string {
	return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
