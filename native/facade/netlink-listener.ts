/** What the kernel tells everybody over netlink. */
import { addon, type ListenerHandle } from './addon.ts';
import { deliverBatches } from './batches.ts';

export interface NetlinkListenerOptions {
	/** 0 = NETLINK_ROUTE */
	readonly protocol: number;
	/** Numbers of multicast groups, RTNLGRP_* for NETLINK_ROUTE. */
	readonly groups: readonly number[];
	/** Instructions of classic BPF, struct sock_filter each: the kernel keeps messages for which they return 0 to itself. */
	readonly filter?: Uint8Array;
	/** Path of a network namespace; default: this process's. */
	readonly netns?: string;
	/** How long messages are gathered after a batch of so many, in milliseconds; default: not at all. */
	readonly gatherMs?: (messages: number) => number;
	/** Of the kernel, for what our thread has not read yet; default 1 MiB. */
	readonly bufferBytes?: number;
	/** Messages that may wait for JavaScript; more are dropped. Default 4096. */
	readonly maxQueued?: number;
}

/**
 * Receives messages of multicast groups, in order. Keeps the process alive until close(). NLMSG_ERROR is of the thread that reads: it has
 * ended, and no message will come any more. NLMSG_OVERRUN says that messages were lost, as `isComplete` does.
 */
export class NetlinkListener {
	readonly #handle: ListenerHandle;
	#lost = 0;
	#closed = false;

	/**
	 * @param onMessages  gets each batch once, whole messages with their headers; the arrays are views of one buffer that nobody else uses.
	 *                    isComplete: no message before the last of these was lost since the batch before
	 * @throws NativeError such as EPERM
	 */
	constructor(options: NetlinkListenerOptions, onMessages: (messages: Uint8Array[], isComplete: boolean) => void) {
		const { netns, protocol, groups, filter, gatherMs, bufferBytes, maxQueued } = options;
		const deliver = deliverBatches(
			(messages) => {
				if (this.#closed) return;
				const before = this.#lost;
				this.#lost = this.lost;
				onMessages(messages, this.#lost === before);
			},
			() => {
				if (!this.#closed) addon.listenerAcknowledge(this.#handle);
			},
			gatherMs && ((task, messages) => setTimeout(task, gatherMs(messages))),
		);
		this.#handle = addon.listenerOpen(
			...([netns, protocol, Uint32Array.from(groups), filter ?? new Uint8Array()] as const),
			...([bufferBytes ?? 1 << 20, deliver, maxQueued ?? 4096] as const),
		);
	}

	/** Messages dropped because JavaScript was too slow, and times when the kernel dropped an unknown number of them. */
	get lost(): number {
		return addon.listenerLost(this.#handle);
	}

	/** No callback comes after this. */
	close(): void {
		this.#closed = true;
		addon.listenerClose(this.#handle);
	}
}
