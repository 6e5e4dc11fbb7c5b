import { release } from 'node:os';

/** Whether the machine's kernel is of this version or a later one: tests of what it brought may be left out elsewhere. */
export function isKernelSince([major, minor]: readonly [number, number]): boolean {
	const [ownMajor = 0, ownMinor = 0] = release().split('.').map(Number);
	return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

/** An interface that is up can get another name. */
export const RENAMES_LIVE = [6, 2] as const;

/** Interfaces have gso_ipv4_max_size. */
export const GSO_IPV4 = [6, 3] as const;
