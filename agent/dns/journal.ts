/**
 * What has been learnt, on disk: an agent that begins anew goes on with it. Lines are appended as they are learnt, so that a killed
 * agent has lost nothing; now and then the file is written anew.
 */
import { appendFileSync, closeSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import * as z from 'zod';
import { type Address, parseAddress } from '../model/address.ts';
import { errorCode } from '../model/errors.ts';
import type { DomainEntry } from './domain-cache.ts';

/** Expiry is written again when it has moved by more than this. */
const WORTH_WRITING_MS = 30_000;
const SPARE_LINES = 2000;

/** name, address, milliseconds since 1970 or null = forgotten */
const line = z.tuple([z.string(), z.string(), z.number().nullable()]);

export class DomainJournal {
	readonly #path: string;
	readonly #entries = new Map<string, DomainEntry>();
	#file: number | undefined;
	#lines = 0;

	/** Reads what is there; lines that cannot be read are left out. @throws what the file system throws */
	constructor(path: string) {
		this.#path = path;
		for (const text of readLines(path)) {
			const entry = parseLine(text);
			this.#lines++;
			if (entry === undefined) continue;
			const { name, address, expiresMs } = entry;
			if (expiresMs === null) this.#entries.delete(`${name} ${address}`);
			else this.#entries.set(`${name} ${address}`, { name, address, expiresMs });
		}
		// also ends a line that a killed agent has begun
		if (this.#lines > 0) this.#rewrite();
	}

	entries(): Iterable<DomainEntry> {
		return this.#entries.values();
	}

	/** @param expiresMs  null = forgotten */
	write(name: string, address: Address, expiresMs: number | null): void {
		const key = `${name} ${address}`;
		const known = this.#entries.get(key);
		if (expiresMs === null ? known === undefined : isClose(known, expiresMs)) return;
		if (expiresMs === null) this.#entries.delete(key);
		else this.#entries.set(key, { name, address, expiresMs });
		if (this.#lines > 2 * this.#entries.size + SPARE_LINES) this.#rewrite();
		else this.#append([name, address, expiresMs]);
	}

	close(): void {
		if (this.#file !== undefined) closeSync(this.#file);
		this.#file = undefined;
	}

	#append(entry: z.output<typeof line>): void {
		this.#file ??= openSync(this.#path, 'a', 0o600);
		appendFileSync(this.#file, `${JSON.stringify(entry)}\n`);
		this.#lines++;
	}

	#rewrite(): void {
		this.close();
		const lines = [...this.#entries.values()].map(({ name, address, expiresMs }) => {
			return `${JSON.stringify([name, address, expiresMs])}\n`;
		});
		writeFileSync(`${this.#path}.new`, lines.join(''), { mode: 0o600 });
		renameSync(`${this.#path}.new`, this.#path);
		this.#lines = lines.length;
	}
}

function isClose(known: DomainEntry | undefined, expiresMs: number): boolean {
	return known !== undefined && Math.abs(known.expiresMs - expiresMs) < WORTH_WRITING_MS;
}

function readLines(path: string): string[] {
	try {
		return readFileSync(path, 'utf8')
			.split('\n')
			.filter((text) => text !== '');
	} catch (error) {
		if (errorCode(error) === 'ENOENT') return [];
		throw error;
	}
}

function parseLine(text: string) {
	try {
		const [name, address, expiresMs] = line.parse(JSON.parse(text));
		const canonical = parseAddress(address);
		return canonical === undefined ? undefined : { name, address: canonical, expiresMs };
	} catch {
		return undefined; // the last line of a killed agent may be a part of one
	}
}
