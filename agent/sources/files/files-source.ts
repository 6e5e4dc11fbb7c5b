/**
 * A directory of Kubernetes YAML as the source of desired state, watched.
 * Any event leads to a scan of the directory (debounced); files whose stamp changed are read again. A slow poll catches
 * what inotify cannot see: targets of symbolic links, a directory that was replaced.
 */
import type { FSWatcher } from 'node:fs';
import { watch } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Kind } from '../../model/cluster-view.ts';
import { errorCode, errorMessage, FairleadError } from '../../model/errors.ts';
import type { KubernetesObject } from '../objects.ts';
import type { ClusterStore } from '../store.ts';
import type { FileContent, FileProblem } from './load.ts';
import { keepFile, loadFile } from './load.ts';

export interface FilesSourceOptions {
	readonly directory: string;
	readonly store: Pick<ClusterStore, 'set' | 'delete' | 'markSynced'>;
	/** All current problems, called whenever they changed. */
	readonly onProblems?: (problems: readonly FileProblem[]) => void;
	/** Kinds that were ignored, for the log; called when the list changed. */
	readonly onIgnored?: (objects: readonly string[]) => void;
	/** Quiet time after an event before the directory is read, in milliseconds. */
	readonly debounceMs?: number;
	/** Time between scans without an event, in milliseconds. */
	readonly pollMs?: number;
}

interface KnownFile {
	/** Changes whenever the content may have changed. */
	readonly stamp: string;
	readonly content: FileContent;
}

/** Larger files are refused: they are a mistake. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;

export class FilesSource {
	readonly #options: Required<FilesSourceOptions>;
	#files = new Map<string, KnownFile>();
	/** Objects in the store by identity; the reference tells whether it changed. */
	#applied = new Map<string, KubernetesObject>();
	#problems = '';
	#ignored = '';
	#watcher: FSWatcher | undefined;
	#timer: NodeJS.Timeout | undefined;
	#scanning: Promise<void> | undefined;
	#again = false;
	#closed = false;

	constructor(options: FilesSourceOptions) {
		this.#options = {
			onProblems: () => undefined,
			onIgnored: () => undefined,
			debounceMs: 50,
			pollMs: 5000,
			...options,
		};
	}

	/**
	 * Reads the directory once and begins to watch. The store is synced when it resolves.
	 * @throws SOURCE_UNREADABLE when the directory cannot be read
	 */
	async start(): Promise<void> {
		this.#watch();
		try {
			await this.#scanOnce();
		} catch (thrown) {
			this.close();
			throw thrown;
		}
		this.#options.store.markSynced();
		this.#schedule(this.#options.pollMs);
	}

	/** Ends watching; what was read stays in the store. */
	close(): void {
		this.#closed = true;
		clearTimeout(this.#timer);
		this.#watcher?.close();
		this.#watcher = undefined;
	}

	/** Reads what changed now, without waiting for an event. */
	async rescan(): Promise<void> {
		if (this.#scanning !== undefined) {
			this.#again = true;
			return this.#scanning;
		}
		this.#scanning = this.#scanUntilQuiet().finally(() => {
			this.#scanning = undefined;
		});
		return this.#scanning;
	}

	#watch(): void {
		if (this.#watcher !== undefined || this.#closed) return;
		try {
			this.#watcher = watch(this.#options.directory, { persistent: false });
		} catch {
			// The scan reports a directory that is not there; the poll tries again.
			return;
		}
		this.#watcher.on('change', () => this.#schedule(this.#options.debounceMs));
		this.#watcher.on('error', () => this.#unwatch());
		this.#watcher.on('close', () => this.#unwatch());
	}

	#unwatch(): void {
		this.#watcher?.removeAllListeners();
		this.#watcher?.close();
		this.#watcher = undefined;
	}

	#schedule(delayMs: number): void {
		clearTimeout(this.#timer);
		if (this.#closed) return;
		this.#timer = setTimeout(() => void this.#poll(), delayMs);
	}

	async #poll(): Promise<void> {
		this.#watch();
		await this.rescan();
		this.#schedule(this.#options.pollMs);
	}

	async #scanUntilQuiet(): Promise<void> {
		do {
			this.#again = false;
			try {
				await this.#scanOnce();
			} catch (thrown) {
				// The directory is away: everything stays in force, and inotify may watch a deleted inode.
				this.#unwatch();
				this.#report(this.#options.directory, errorMessage(thrown));
			}
		} while (this.#again && !this.#closed);
	}

	async #scanOnce(): Promise<void> {
		const files = new Map<string, KnownFile>();
		for (const name of await this.#list()) {
			const known = await this.#read(name, this.#files.get(name));
			if (known !== undefined) files.set(name, known);
		}
		this.#files = files;
		const duplicates = this.#apply();
		this.#reportAll(duplicates);
	}

	async #list(): Promise<readonly string[]> {
		const { directory } = this.#options;
		try {
			const names = await readdir(directory);
			return names.filter((name) => /^[^.].*\.(ya?ml|json)$/.test(name)).sort();
		} catch (thrown) {
			const why = errorCode(thrown) ?? errorMessage(thrown);
			const message = `cannot read directory ${directory} of the files source: ${why}; set filesDir`;
			throw new FairleadError('SOURCE_UNREADABLE', message, { cause: thrown });
		}
	}

	/** @returns undefined when the file has gone */
	async #read(name: string, known: KnownFile | undefined): Promise<KnownFile | undefined> {
		const path = join(this.#options.directory, name);
		try {
			const info = await stat(path, { bigint: true });
			if (!info.isFile()) return undefined;
			const stamp = `${info.dev} ${info.ino} ${info.size} ${info.mtimeNs} ${info.ctimeNs}`;
			if (known?.stamp === stamp) return known;
			if (info.size > MAX_FILE_BYTES) {
				return { stamp, content: keepFile(name, `larger than ${MAX_FILE_BYTES} bytes`, known?.content) };
			}
			const text = await readFile(path, 'utf8');
			// `> FILE` empties it before the writer begins: no reason to take its objects away
			if (text === '' && known !== undefined && known.content.objects.size > 0) {
				return { stamp, content: keepFile(name, 'is empty; delete it if its objects are to go', known.content) };
			}
			return { stamp, content: loadFile(name, text, known?.content) };
		} catch (thrown) {
			if (errorCode(thrown) === 'ENOENT') return undefined;
			const reason = `cannot be read: ${errorCode(thrown) ?? errorMessage(thrown)}`;
			return { stamp: '', content: keepFile(name, reason, known?.content) };
		}
	}

	/** Brings the store to the union of all files; of doubles the first file in name order counts. */
	#apply(): readonly FileProblem[] {
		const { store } = this.#options;
		const wanted = new Map<string, KubernetesObject>();
		const owner = new Map<string, string>();
		const duplicates: FileProblem[] = [];
		for (const [file, { content }] of this.#files) {
			for (const [identity, object] of content.objects) {
				if (!wanted.has(identity)) {
					wanted.set(identity, object);
					owner.set(identity, file);
					continue;
				}
				const message = `is also in ${owner.get(identity)}, which counts`;
				duplicates.push({ file, line: 1, object: identity, path: '', message, keptLastGood: false });
			}
		}
		for (const [identity, object] of this.#applied) {
			if (!wanted.has(identity)) store.delete(object.kind, object.key);
		}
		for (const [identity, object] of wanted) {
			if (this.#applied.get(identity) !== object) store.set<Kind>(object.kind, object.key, object.value);
		}
		this.#applied = wanted;
		return duplicates;
	}

	#reportAll(duplicates: readonly FileProblem[]): void {
		const contents = [...this.#files.values()].map((file) => file.content);
		const problems = [...contents.flatMap((content) => content.problems), ...duplicates];
		const ignored = contents.flatMap((content) => content.ignored);
		this.#tell(problems);
		const ignoredText = ignored.join('\n');
		if (ignoredText !== this.#ignored) this.#options.onIgnored(ignored);
		this.#ignored = ignoredText;
	}

	#report(file: string, message: string): void {
		this.#tell([{ file, line: 1, object: 'directory', path: '', message, keptLastGood: this.#applied.size > 0 }]);
	}

	#tell(problems: readonly FileProblem[]): void {
		const text = JSON.stringify(problems);
		if (text === (this.#problems || '[]')) return;
		this.#problems = text;
		this.#options.onProblems(problems);
	}
}
