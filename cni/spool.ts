/**
 * Deletions that the CNI executable put aside while no agent answered. Each file is a request as on the socket, without
 * its length; its name begins with the time it was written, in seconds with nine decimals.
 */
import { mkdir, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { errorMessage } from '../agent/model/errors.ts';
import type { Endpoints } from './dispatch.ts';
import { decodeRequest } from './protocol.ts';
import { parseRequest } from './request.ts';

export interface SpoolReport {
	readonly replayed: number;
	readonly problems: readonly string[];
}

const SPOOLED = /^(\d+\.\d{9})-\d+\.del$/;

/** When an attachment of these was made, in milliseconds; undefined = there is none. */
export type CreatedAt = (key: { containerId: string; ifname: string }) => number | undefined;

/**
 * Replays all deletions, oldest first. One of an attachment that was made later (the same container again) is dropped.
 * What cannot be read is moved aside as `.bad`; what fails stays for the next time. Never throws.
 */
export async function replaySpool(
	dir: string,
	endpoints: Pick<Endpoints, 'detach'>,
	createdAt: CreatedAt,
): Promise<SpoolReport> {
	const problems: string[] = [];
	let replayed = 0;
	for (const name of await spooledFiles(dir, problems)) {
		const path = join(dir, name);
		try {
			const key = await readKey(path);
			const spooledMs = Number(SPOOLED.exec(name)?.[1]) * 1000;
			if ((createdAt(key) ?? 0) <= spooledMs) await endpoints.detach(key);
			await unlink(path);
			replayed++;
		} catch (error) {
			problems.push(`cannot replay ${path}: ${errorMessage(error)}`);
			if (error instanceof UnreadableError) await rename(path, `${path}.bad`).catch(() => undefined);
		}
	}
	return { replayed, problems };
}

class UnreadableError extends Error {}

async function spooledFiles(dir: string, problems: string[]): Promise<string[]> {
	try {
		await mkdir(dir, { recursive: true, mode: 0o700 });
		return (await readdir(dir)).filter((name) => SPOOLED.test(name)).sort();
	} catch (error) {
		problems.push(`cannot read ${dir}: ${errorMessage(error)}`);
		return [];
	}
}

async function readKey(path: string): Promise<{ containerId: string; ifname: string }> {
	const body = await readFile(path);
	try {
		const { verb, containerId, ifname } = parseRequest(decodeRequest(body));
		if (verb !== 'DEL') throw new Error(`it is a ${verb}`);
		return { containerId, ifname };
	} catch (error) {
		throw new UnreadableError(errorMessage(error));
	}
}
