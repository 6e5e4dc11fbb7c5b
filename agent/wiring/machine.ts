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

/** Mount point of cgroup v2 in the text of /proc/self/mounts. */
export function cgroup2Mount(mounts: string): string | undefined {
	for (const line of mounts.split('\n')) {
		const [, point, type] = line.split(' ');
		if (type === 'cgroup2') return point;
	}
	return undefined;
}

/** Where cgroup v2 is mounted; undefined = nowhere. */
export function findCgroup2(): string | undefined {
	return cgroup2Mount(readFileSync('/proc/self/mounts', 'utf8'));
}

/** Changes with every boot. */
export function bootId(): string {
	return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
