/**
 * Files below /proc/sys, as the network namespace of the main thread shows them.
 */
import { writeFileSync } from 'node:fs';
import { errorMessage, FairleadError } from '../model/errors.ts';

/** @param path  'net/ipv4/conf/eth0/rp_filter'. @throws SYSCTL_FAILED */
export function writeSysctl(path: string, value: string): void {
	try {
		writeFileSync(`/proc/sys/${path}`, value);
	} catch (cause) {
		throw new FairleadError('SYSCTL_FAILED', `cannot set ${path} to ${value}: ${errorMessage(cause)}`, { cause });
	}
}
