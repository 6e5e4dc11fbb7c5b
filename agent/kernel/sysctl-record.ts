/**
 * Remembers what kernel settings of the node were before we changed them, so that they can be given back. Settings last until
 * the next boot; so does what is remembered. Settings of our own devices go with these and are not remembered.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import * as z from 'zod';
import type { ChangedSetting } from './sysctl.ts';

const recordSchema = z.object({
	bootId: z.string(),
	settings: z.array(
		z.object({
			/** 'net/ipv4/ip_forward' */
			path: z.string(),
			/** Before our first change. */
			found: z.string(),
			/** By our last one. */
			set: z.string(),
		}),
	),
});

export type RememberedSetting = z.output<typeof recordSchema>['settings'][number];

/** What was remembered in this boot; empty when nothing was, or it cannot be read. */
export function readRemembered(file: string, bootId: string): readonly RememberedSetting[] {
	try {
		const record = recordSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
		return record.bootId === bootId ? record.settings : [];
	} catch {
		return [];
	}
}

/** Adds changes: of each setting the value found first and the one set last. @throws what the file system says */
export function rememberFound(file: string, bootId: string, changed: readonly ChangedSetting[]): void {
	if (changed.length === 0) return;
	const byPath = new Map(readRemembered(file, bootId).map((each) => [each.path, each]));
	for (const { path, value, found } of changed) {
		const name = path.join('/');
		byPath.set(name, { path: name, found: byPath.get(name)?.found ?? found, set: value });
	}
	mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
	const staged = `${file}.${process.pid}.tmp`;
	writeFileSync(staged, `${JSON.stringify({ bootId, settings: [...byPath.values()] })}\n`, { mode: 0o600 });
	renameSync(staged, file);
}
