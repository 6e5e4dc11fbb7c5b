/**
 * The attachments of this node on disk. A record is durable when write() returns: written aside, renamed, then file and
 * directory are synced side by side, which takes half as long as one after the other. A record never replaces another,
 * so a crash in between can only leave an unreadable one of an attachment that nobody was told about. A deletion is one rename: the file keeps its addresses quarantined until forget() removes it,
 * so that a crash cannot hand them out early.
 * Files: `<id>.json` is live, `<id>.<released at, ms>.released` is in cool-down, `<id>.json.bad` was unreadable.
 */
import { closeSync, fsync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { writeAside } from '../../native/index.ts';
import { errorMessage, FairleadError } from '../model/errors.ts';
import { type Attachment, type AttachmentKey, attachmentId, attachmentSchema, ownerOf } from './attachment.ts';

export interface ReleasedRecord {
	readonly file: string;
	/** Those that were ours to give (not chained). */
	readonly addresses: readonly string[];
	/** Boot of the attachment. */
	readonly bootId: string;
	readonly releasedAtMs: number;
}

export interface LedgerContent {
	readonly live: readonly Attachment[];
	readonly released: readonly ReleasedRecord[];
	/** Records that could not be read, with the reason; they were moved aside. */
	readonly problems: readonly FairleadError[];
}

/** What the manager needs of a ledger; tests inject one that fails. */
export interface Ledger {
	load(): Promise<LedgerContent>;
	/** Durable when it returns. @throws LEDGER_WRITE */
	write(attachment: Attachment): Promise<void>;
	/** Live → cool-down, durable when it returns. A record that is gone is no reason to keep the pod. @throws LEDGER_WRITE */
	release(attachment: Attachment, nowMs: number): Promise<ReleasedRecord>;
	/** Removes a record of an attachment that never came to be. Not durable: a leftover is dropped at start. */
	remove(key: AttachmentKey): Promise<void>;
	/** The end of a cool-down. */
	forget(record: ReleasedRecord): Promise<void>;
	close(): Promise<void>;
}

const sync = promisify(fsync);

const RELEASED = /^([0-9a-f]{32})\.(\d+)\.released$/;

export class FileLedger implements Ledger {
	readonly #dir: string;
	readonly #directory: DirectorySync;
	#sequence = 0;

	private constructor(dir: string, handle: FileHandle) {
		this.#dir = dir;
		this.#directory = new DirectorySync(handle);
	}

	/** @param dir  is made if missing, with mode 0700 */
	static async open(dir: string): Promise<FileLedger> {
		try {
			await mkdir(dir, { recursive: true, mode: 0o700 });
			return new FileLedger(dir, await open(dir, 'r'));
		} catch (cause) {
			throw new FairleadError('LEDGER_WRITE', `cannot open attachment ledger ${dir}: ${errorMessage(cause)}`, {
				cause,
			});
		}
	}

	async load(): Promise<LedgerContent> {
		const live: Attachment[] = [];
		const released: ReleasedRecord[] = [];
		const problems: FairleadError[] = [];
		for (const name of (await readdir(this.#dir)).sort()) {
			const match = RELEASED.exec(name);
			if (name.endsWith('.tmp')) await unlink(join(this.#dir, name));
			else if (match || name.endsWith('.json')) {
				const attachment = await this.#read(name, problems);
				if (attachment === undefined) continue;
				if (match) released.push(releasedRecord(name, attachment, Number(match[2])));
				else live.push(attachment);
			}
		}
		return { live, released, problems };
	}

	async #read(name: string, problems: FairleadError[]): Promise<Attachment | undefined> {
		const path = join(this.#dir, name);
		try {
			return attachmentSchema.parse(JSON.parse(await readFile(path, 'utf8')));
		} catch (cause) {
			const text = `cannot read attachment record ${path}: ${errorMessage(cause)}; moved to ${name}.bad`;
			problems.push(new FairleadError('LEDGER_INVALID', text, { cause }));
			await rename(path, `${path}.bad`);
			return undefined;
		}
	}

	async write(attachment: Attachment): Promise<void> {
		const path = this.#livePath(attachment);
		const temporary = `${path}.${process.pid}-${this.#sequence++}.tmp`;
		try {
			const file = await writeAside(temporary, path, JSON.stringify(attachment));
			try {
				await Promise.all([sync(file), this.#directory.sync()]);
			} finally {
				closeSync(file);
			}
		} catch (cause) {
			throw writeError('write', attachment, path, cause);
		}
	}

	async release(attachment: Attachment, nowMs: number): Promise<ReleasedRecord> {
		const path = this.#livePath(attachment);
		const file = `${attachmentId(attachment)}.${Math.trunc(nowMs)}.released`;
		try {
			await renameIfThere(path, join(this.#dir, file));
			await this.#directory.sync();
		} catch (cause) {
			throw writeError('release', attachment, path, cause);
		}
		return releasedRecord(file, attachment, nowMs);
	}

	async remove(key: AttachmentKey): Promise<void> {
		await unlinkIfThere(this.#livePath(key));
	}

	async forget(record: ReleasedRecord): Promise<void> {
		await unlinkIfThere(join(this.#dir, record.file));
	}

	async close(): Promise<void> {
		await this.#directory.close();
	}

	#livePath(key: AttachmentKey): string {
		return join(this.#dir, `${attachmentId(key)}.json`);
	}
}

/** Syncs of one directory: callers that come while one runs share the next. */
class DirectorySync {
	readonly #handle: FileHandle;
	#running: Promise<void> | undefined;
	#next: Promise<void> | undefined;

	constructor(handle: FileHandle) {
		this.#handle = handle;
	}

	/** Everything done in the directory before the call is durable when it returns. */
	sync(): Promise<void> {
		if (this.#running === undefined) return this.#start();
		this.#next ??= this.#running
			.catch(() => undefined)
			.then(() => {
				this.#next = undefined;
				return this.#start();
			});
		return this.#next;
	}

	#start(): Promise<void> {
		const run = this.#handle.sync().finally(() => {
			if (this.#running === run) this.#running = undefined;
		});
		this.#running = run;
		return run;
	}

	async close(): Promise<void> {
		await this.#handle.close();
	}
}

function releasedRecord(file: string, attachment: Attachment, releasedAtMs: number): ReleasedRecord {
	const { bootId, mode, addresses } = attachment;
	return { file, bootId, addresses: mode === 'veth' ? addresses : [], releasedAtMs };
}

function writeError(verb: string, attachment: Attachment, path: string, cause: unknown): FairleadError {
	const text = `cannot ${verb} attachment record of ${ownerOf(attachment)} at ${path}: ${errorMessage(cause)}`;
	return new FairleadError('LEDGER_WRITE', text, { cause });
}

async function renameIfThere(from: string, to: string): Promise<void> {
	try {
		await rename(from, to);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
	}
}

async function unlinkIfThere(path: string): Promise<void> {
	try {
		await unlink(path);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
	}
}
