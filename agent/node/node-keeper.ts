/**
 * Keeps the own Node telling the scheduler that pods can run here: condition NetworkUnavailable=False, and no start-up taint.
 * Whoever sets one of them again (a cloud's route controller, a node that registers anew) finds it corrected.
 */

import { errorMessage } from '../model/errors.ts';
import type { EventRecorder } from '../model/event.ts';
import { nodeRef } from '../model/event.ts';
import type { Node } from '../model/node.ts';
import { type LoopClock, ReconcileLoop } from '../reconcile/loop.ts';

/** What has to be written. */
export interface OwnNode {
	setNetworkAvailable(nowMs: number, signal: AbortSignal): Promise<boolean>;
	removeTaint(key: string, signal: AbortSignal): Promise<number>;
}

export interface NodeKeeperLog {
	info(fields: object, message: string): void;
	warn(fields: object, message: string): void;
}

export interface NodeKeeperOptions {
	readonly node: OwnNode;
	readonly nodeName: string;
	/** '' = none. */
	readonly startupTaint: string;
	readonly events: EventRecorder;
	readonly log: NodeKeeperLog;
	readonly clock?: LoopClock;
	readonly now?: () => number;
}

export class NodeKeeper {
	readonly #options: NodeKeeperOptions;
	readonly #closing = new AbortController();
	readonly #loop: ReconcileLoop;
	#started = false;
	#problem = '';

	constructor(options: NodeKeeperOptions) {
		this.#options = options;
		this.#loop = new ReconcileLoop({
			run: () => this.#write(),
			minBackoffMs: 1000,
			maxBackoffMs: 60_000,
			...(options.clock && { clock: options.clock }),
		});
	}

	/** Why the Node does not say what it should; '' = it does, or nothing has been asked for. */
	get problem(): string {
		return this.#problem;
	}

	/** Pods can be attached: call it once. */
	start(): void {
		this.#started = true;
		this.#loop.request();
	}

	/** The own Node has changed. */
	onNode(node: Node | undefined): void {
		const { startupTaint } = this.#options;
		if (!this.#started || node === undefined) return;
		const tainted = startupTaint !== '' && (node.taints ?? []).includes(startupTaint);
		if (tainted || node.networkUnavailable === true) this.#loop.request();
	}

	idle(): Promise<void> {
		return this.#loop.idle();
	}

	/** What was written stays: pods go on without the agent. */
	async close(): Promise<void> {
		this.#closing.abort();
		await this.#loop.close();
	}

	async #write(): Promise<readonly string[]> {
		const { node, nodeName, startupTaint, events, log, now = Date.now } = this.#options;
		const { signal } = this.#closing;
		try {
			// the condition first: a pod that is scheduled because the taint is gone must find it
			if (await node.setNetworkAvailable(now(), signal)) log.info({}, 'condition NetworkUnavailable set to False');
			const removed = startupTaint === '' ? 0 : await node.removeTaint(startupTaint, signal);
			if (removed > 0) log.info({ taint: startupTaint, removed }, 'start-up taint removed');
			this.#problem = '';
			return [];
		} catch (error) {
			if (signal.aborted) return [];
			const problem = errorMessage(error);
			if (problem !== this.#problem) log.warn({ problem }, 'own Node not written');
			this.#problem = problem;
			events.event(nodeRef(nodeName), 'Warning', 'NodeWriteFailed', problem);
			return [problem];
		}
	}
}
