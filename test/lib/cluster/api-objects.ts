/**
 * Kubernetes objects in a test API server, which runs as a process of its own on the outside client's machine: the agents reach
 * it through the router, the test through a unix socket.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ask } from '../../apiserver/client.ts';
import type { FaultRule, WatchFaults } from '../../apiserver/faults.ts';
import { type ProcessOptions, put } from '../../apiserver/main.ts';
import { mergePatch } from '../../apiserver/patch.ts';
import { type ApiObject, Storage } from '../../apiserver/storage.ts';
import { type BackgroundProcess, eventually } from './exec.ts';
import type { KubeObject, Objects } from './objects.ts';
import type { Place } from './place.ts';

const NODE = join(import.meta.dirname, '..', '..', '..', 'node_modules', '.bin', 'node');
const SERVER = join(import.meta.dirname, '..', '..', 'apiserver', 'main.ts');
const PORT = 6443;

/** POST /_admin/… of test/apiserver/main.ts. */
export interface AdminCalls {
	put: ApiObject;
	remove: { apiVersion: string; kind: string; metadata: { name: string; namespace?: string } };
	fault: FaultRule;
	watchFaults: WatchFaults;
	clearFaults: Record<string, never>;
	cutWatches: { midLine?: boolean; resource?: string };
	compact: Record<string, never>;
	allowToken: { token: string; lifetimeMs?: number };
	revokeToken: { token: string };
	seen: Record<string, never>;
	watches: Record<string, never>;
}

export interface ApiObjectsOptions {
	/** Where the server runs. */
	readonly place: Place;
	/** Address of that place as the agents know it. */
	readonly host: string;
	readonly dir: string;
	/** More options of the server. */
	readonly server?: Partial<ProcessOptions>;
}

function keyOf({ kind, metadata }: Pick<KubeObject, 'kind' | 'metadata'>): string {
	return `${kind} ${metadata.namespace ?? 'default'}/${metadata.name}`;
}

export class ApiObjects implements Objects {
	readonly dir: string;
	readonly url: string;
	/** For agents: the server, its CA, a token file. */
	readonly kubeconfig: string;
	readonly tokenFile: string;
	readonly #options: ApiObjectsOptions;
	/** What was applied last, by kind, namespace and name. */
	readonly #applied = new Map<string, KubeObject>();
	#process: BackgroundProcess | undefined;
	#queue: Promise<void> = Promise.resolve();
	#failure: unknown;

	constructor(options: ApiObjectsOptions) {
		this.#options = options;
		this.dir = options.dir;
		this.url = `https://${options.host}:${PORT}`;
		this.kubeconfig = join(this.dir, 'kubeconfig');
		this.tokenFile = join(this.dir, 'token');
		mkdirSync(this.dir, { recursive: true, mode: 0o700 });
		writeFileSync(this.tokenFile, randomUUID());
		writeFileSync(this.kubeconfig, JSON.stringify(this.#kubeconfig()));
	}

	#kubeconfig() {
		return {
			apiVersion: 'v1',
			kind: 'Config',
			'current-context': 'test',
			contexts: [{ name: 'test', context: { cluster: 'test', user: 'agent' } }],
			clusters: [{ name: 'test', cluster: { server: this.url, 'certificate-authority': 'ca.crt' } }],
			users: [{ name: 'agent', user: { tokenFile: 'token' } }],
		};
	}

	/** Starts the server with the objects it had, and lets the token of the token file in. */
	async start(): Promise<void> {
		const { place, host, server } = this.#options;
		const ready = join(this.dir, 'ready');
		rmSync(ready, { force: true });
		const options: ProcessOptions = {
			directory: this.dir,
			hosts: [host],
			port: PORT,
			journal: join(this.dir, 'journal'),
			authenticate: true,
			bookmarkMs: 200,
			...server,
		};
		const started = place.start('apiserver', [NODE, SERVER, JSON.stringify(options)]);
		this.#process = started;
		const serves = (): void => {
			if (!started.running()) throw new Error(`the test API server ended: see ${started.logFile}`);
			if (!existsSync(ready)) throw new Error('it does not yet');
		};
		// a large cluster takes a while to be made up
		await eventually('the test API server serves', serves, {
			timeoutMs: options.size === undefined ? 15_000 : 300_000,
		});
		await this.#post('allowToken', { token: readFileSync(this.tokenFile, 'utf8') });
	}

	/** Another token from now on: the old one is no longer let in, the file has the new one. */
	async rotateToken(): Promise<void> {
		await this.call('revokeToken', { token: readFileSync(this.tokenFile, 'utf8') });
		writeFileSync(this.tokenFile, randomUUID());
		await this.call('allowToken', { token: readFileSync(this.tokenFile, 'utf8') });
	}

	/** SIGKILL; what was written to it comes back with start(). */
	async kill(): Promise<void> {
		await this.#process?.stop('SIGKILL');
		this.#process = undefined;
	}

	/**
	 * Replaces the server by one that has never seen anything and gets the same objects anew: other versions, other uids.
	 * @param without  names of objects that it does not get
	 */
	async restore(without: readonly string[]): Promise<void> {
		await this.flush();
		await this.kill();
		rmSync(join(this.dir, 'journal'), { force: true });
		const objects = [...this.#applied.values()].filter(({ metadata }) => !without.includes(metadata.name));
		// a server that is asked before it has its objects would rightly be believed
		const journal = join(this.dir, 'journal');
		const filled = new Storage({ journal });
		for (const object of objects) put(filled, object);
		await this.start();
	}

	apply(object: KubeObject): void {
		this.#applied.set(keyOf(object), object);
		this.#enqueue('put', object);
	}

	remove(kind: string, name: string, namespace = 'default'): void {
		const apiVersion = [...this.#applied.values()].find((object) => object.kind === kind)?.apiVersion ?? 'v1';
		const object = { apiVersion, kind, metadata: { name, namespace } };
		this.#applied.delete(keyOf(object));
		this.#enqueue('remove', object);
	}

	/** Changes fields of an object that was applied; objects are merged, everything else is replaced. */
	patch(kind: string, name: string, changes: Record<string, unknown>, namespace = 'default'): void {
		const object = this.#applied.get(keyOf({ kind, metadata: { name, namespace } }));
		if (object === undefined) throw new Error(`${kind} ${name} was never applied`);
		this.apply(mergePatch(object, changes) as KubeObject);
	}

	/** Waits until everything that was applied or removed is in the server. */
	async flush(): Promise<void> {
		await this.#queue;
		if (this.#failure !== undefined) throw this.#failure;
	}

	/** Asks the running server for something that is no part of the API. */
	async call<K extends keyof AdminCalls>(name: K, body: AdminCalls[K]): Promise<unknown> {
		await this.flush();
		return this.#post(name, body);
	}

	async #post<K extends keyof AdminCalls>(name: K, body: AdminCalls[K]): Promise<unknown> {
		const answer = await ask({ socketPath: join(this.dir, 'api.sock') }, 'POST', `/_admin/${name}`, body);
		if (answer.code !== 200) throw new Error(`test API server: ${name}: ${JSON.stringify(answer.body)}`);
		return answer.body;
	}

	/** In order; while the server is away, it waits. */
	#enqueue<K extends keyof AdminCalls>(name: K, body: AdminCalls[K]): void {
		if (this.#failure !== undefined) throw this.#failure;
		this.#queue = this.#queue
			.then(() => eventually(`${name} in the test API server`, () => this.#post(name, body), { timeoutMs: 60_000 }))
			.then(
				() => undefined,
				(error: unknown) => {
					this.#failure = error;
				},
			);
	}
}
