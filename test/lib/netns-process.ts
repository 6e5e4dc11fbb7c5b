/**
 * A Node.js process inside a network namespace of its own, asked over its IPC channel. What a BPF test run calls an
 * ifindex belongs to the caller's namespace, and a namespace that ends with its process leaves nothing behind.
 */
import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';

interface Request {
	readonly id: number;
	readonly method: string;
	readonly args: readonly unknown[];
}

interface Answer {
	readonly id: number;
	readonly value?: unknown;
	readonly error?: string;
}

const COMMAND_TIMEOUT_MS = 60_000;
/** The project's own Node.js: the one that runs a test may be too old for TypeScript. */
export const NODE = resolve(import.meta.dirname, '../../node_modules/.bin/node');

export class NetnsProcess {
	readonly #script: string;
	readonly #namespace: string;
	#child: ChildProcess;
	readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
	#nextId = 1;

	/** Makes a namespace and starts `script` (a path) in it. */
	constructor(script: string) {
		// Not by the process's number: those come round, and a namespace may outlive a test that was killed.
		this.#namespace = `fldp${randomBytes(5).toString('hex')}`;
		execFileSync('ip', ['netns', 'add', this.#namespace], { timeout: COMMAND_TIMEOUT_MS });
		this.#script = script;
		this.#child = this.#start();
	}

	get netnsPath(): string {
		return `/run/netns/${this.#namespace}`;
	}

	/** Starts the script again in the same namespace, after its end. */
	restart(): void {
		this.#child = this.#start();
	}

	#start(): ChildProcess {
		const child = spawn('nsenter', [`--net=/run/netns/${this.#namespace}`, NODE, this.#script], {
			stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
			serialization: 'advanced',
		});
		child.on('message', (answer: Answer) => this.#settle(answer));
		child.on('exit', (code, signal) => {
			for (const { reject } of this.#waiting.values()) {
				reject(new Error(`process in namespace ${this.#namespace} ended: ${signal ?? code}`));
			}
			this.#waiting.clear();
		});
		return child;
	}

	#settle(answer: Answer): void {
		const waiting = this.#waiting.get(answer.id);
		this.#waiting.delete(answer.id);
		if (answer.error === undefined) {
			waiting?.resolve(answer.value);
		} else {
			waiting?.reject(new Error(answer.error));
		}
	}

	/** Calls a handler of serve() in the process. The caller knows its type. */
	call<T>(method: string, ...args: readonly unknown[]): Promise<T> {
		const id = this.#nextId++;
		return new Promise((resolve, reject) => {
			this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
			this.#child.send({ id, method, args } satisfies Request);
		});
	}

	/** Ends the process and removes the namespace with all its devices. */
	async close(): Promise<void> {
		if (this.#child.exitCode === null && this.#child.signalCode === null) {
			const ended = new Promise((done) => this.#child.once('exit', done));
			this.#child.disconnect();
			const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5_000);
			await ended;
			clearTimeout(timer);
		}
		execFileSync('ip', ['netns', 'del', this.#namespace], { timeout: COMMAND_TIMEOUT_MS });
	}
}

/**
 * In the process: answers calls with `handle` until the parent lets go, then runs `end` and exits.
 */
export function serve(handle: (method: string, args: readonly unknown[]) => Promise<unknown>, end: () => void): void {
	process.on('message', (request: Request) => {
		handle(request.method, request.args).then(
			(value) => process.send?.({ id: request.id, value } satisfies Answer),
			(error: unknown) =>
				process.send?.({
					id: request.id,
					error: error instanceof Error ? (error.stack ?? error.message) : String(error),
				} satisfies Answer),
		);
	});
	process.on('disconnect', () => {
		end();
		process.exit(0);
	});
}
