/**
 * The pod's network namespace, held open while it is worked on, so that the path cannot come to mean another one.
 */
import { closeSync, fstatSync, openSync, statfsSync, statSync } from 'node:fs';
import { errorMessage, FairleadError } from '../model/errors.ts';
import type { EndpointDeps } from './endpoint-deps.ts';

const NSFS_MAGIC = 0x6e73_6673;

export interface NetnsIdentity {
	readonly dev: number;
	readonly ino: number;
}

export class PodNetns implements NetnsIdentity {
	readonly fd: number;
	readonly path: string;
	readonly dev: number;
	readonly ino: number;

	/** @throws NETNS_INVALID when the path is no network namespace or, unless allowed, that of the node */
	constructor(path: string, o: { readonly allowOwn?: boolean } = {}) {
		this.path = path;
		this.fd = openNetns(path);
		try {
			const { dev, ino } = fstatSync(this.fd);
			this.dev = dev;
			this.ino = ino;
			if (statfsSync(this.fdPath).type !== NSFS_MAGIC) throw invalid(path, 'it is no namespace file');
			const own = statSync('/proc/self/ns/net');
			if (!o.allowOwn && own.dev === dev && own.ino === ino)
				throw invalid(path, 'it is the network namespace of the node');
		} catch (error) {
			closeSync(this.fd);
			throw error;
		}
	}

	/** Valid in every thread of this process until close(). */
	get fdPath(): string {
		return `/proc/self/fd/${this.fd}`;
	}

	close(): void {
		closeSync(this.fd);
	}
}

/** Identity as text, for look-ups. */
export function netnsKey(netns: NetnsIdentity): string {
	return `${netns.dev}:${netns.ino}`;
}

/** Number of a namespace as BPF programs see it; 0 when it cannot be read: only flow records need it. */
export async function cookieAt(path: string, read: EndpointDeps['netnsCookie']): Promise<bigint> {
	try {
		return (await read?.(path)) ?? 0n;
	} catch {
		return 0n;
	}
}

/** As cookieAt(); 0 also when the file is gone or stands for another namespace by now. */
export async function cookieOf(
	{ path, dev, ino }: NetnsIdentity & { readonly path: string },
	read: EndpointDeps['netnsCookie'],
): Promise<bigint> {
	try {
		const netns = new PodNetns(path, { allowOwn: true });
		try {
			return netns.dev === dev && netns.ino === ino ? await cookieAt(netns.fdPath, read) : 0n;
		} finally {
			netns.close();
		}
	} catch {
		return 0n;
	}
}

function openNetns(path: string): number {
	try {
		return openSync(path, 'r');
	} catch (cause) {
		throw invalid(path, errorMessage(cause), cause);
	}
}

function invalid(path: string, why: string, cause?: unknown): FairleadError {
	return new FairleadError('NETNS_INVALID', `cannot use network namespace ${path}: ${why}`, { cause, path });
}
