/**
 * Kernel settings below /proc/sys, as the network namespace of the main thread shows them. Named by path parts,
 * because device names may contain dots.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errorCode, errorMessage, FairleadError } from '../model/errors.ts';
import { nodePath } from './node-paths.ts';

/** The container's own is read-only unless it is privileged; only settings of the network are written. */
const ROOT = dirname(nodePath('/proc/sys/net'));

export interface SysctlSetting {
	/** ['net', 'ipv4', 'ip_forward'] */
	readonly path: readonly string[];
	readonly value: string;
	/** Do nothing when the kernel does not have it (IPv6 switched off, older kernel). */
	readonly optional?: boolean;
}

/** A setting that had another value. */
export interface ChangedSetting extends SysctlSetting {
	readonly found: string;
}

/** Reads before it writes, so that repeating it changes nothing. */
export class Sysctl {
	readonly #root: string;

	constructor(root = ROOT) {
		this.#root = root;
	}

	/** @returns undefined when the kernel does not have it. @throws SYSCTL_FAILED */
	read(path: readonly string[]): string | undefined {
		try {
			return readFileSync(join(this.#root, ...path), 'utf8').trim();
		} catch (cause) {
			if (errorCode(cause) === 'ENOENT') return undefined;
			throw new FairleadError('SYSCTL_FAILED', `cannot read ${path.join('/')}: ${errorMessage(cause)}`, { cause });
		}
	}

	/**
	 * Writes what differs.
	 * @returns the settings that were changed, each with what it was
	 * @throws SYSCTL_FAILED
	 */
	apply(settings: readonly SysctlSetting[]): ChangedSetting[] {
		return settings.flatMap((setting) => {
			const { path, value, optional } = setting;
			const found = this.read(path);
			if (found === value || (found === undefined && optional)) return [];
			write(this.#root, path.join('/'), value);
			return [{ ...setting, found: found ?? '' }];
		});
	}
}

/** @param path  'net/ipv4/conf/eth0/rp_filter'. @throws SYSCTL_FAILED */
export function writeSysctl(path: string, value: string): void {
	write(ROOT, path, value);
}

function write(root: string, path: string, value: string): void {
	try {
		writeFileSync(join(root, path), value);
	} catch (cause) {
		throw new FairleadError('SYSCTL_FAILED', `cannot set ${path} to ${value}: ${errorMessage(cause)}`, { cause });
	}
}
