/**
 * Removes host side interfaces some time after their DEL was answered. Removing a veth waits for a grace period of the
 * kernel; a whole interface group waits once. DEL puts its interface, already down, into REAP_GROUP.
 */
import { deleteLink, deleteLinkGroup, type Netlink } from '../kernel/netlink.ts';
import { REAP_GROUP } from './pod-wiring.ts';

export interface ReapItem {
	/** Host side interface. */
	readonly name: string;
	/** The pod's namespace; left out = not known. */
	readonly netns?: ReapNetns;
	/** Called when the interface is gone. */
	readonly gone?: () => void | Promise<void>;
}

/** The kernel gives the number of a namespace that is gone to the next one; a cookie it never gives again. */
export interface ReapNetns {
	/** netnsKey() */
	readonly key: string;
	/** 0 = not known. */
	readonly cookie: bigint;
}

export class LinkReaper {
	readonly #netlink: Netlink;
	readonly #delayMs: number;
	readonly #onError: (error: unknown) => void;
	#waiting: ReapItem[] = [];
	#timer: NodeJS.Timeout | undefined;
	#running: Promise<void> = Promise.resolve();
	#removing: readonly ReapItem[] = [];

	/** @param o.delayMs  how long the first of a batch waits for others */
	constructor(o: { readonly netlink: Netlink; readonly delayMs: number; readonly onError: (error: unknown) => void }) {
		this.#netlink = o.netlink;
		this.#delayMs = o.delayMs;
		this.#onError = o.onError;
	}

	add(item: ReapItem): void {
		this.#waiting.push(item);
		this.#timer ??= setTimeout(() => void this.flush(), this.#delayMs);
	}

	/** True when an interface of this name, or one whose other side may be in this namespace, is still to be removed. */
	blocks(name: string, netns?: ReapNetns): boolean {
		const same = (item: ReapItem): boolean => item.name === name || mayBeOne(item.netns, netns);
		return this.#waiting.some(same) || this.#removing.some(same);
	}

	/** Removes all that waits; returns when it, and what was being removed before, is gone. Never throws. */
	async flush(): Promise<void> {
		clearTimeout(this.#timer);
		this.#timer = undefined;
		const batch = this.#waiting;
		this.#waiting = [];
		this.#running = this.#running.then(() => this.#remove(batch));
		await this.#running;
	}

	async #remove(batch: readonly ReapItem[]): Promise<void> {
		if (batch.length === 0) return;
		this.#removing = batch;
		try {
			// The group takes almost all; by name for those whose DEL could not put them into it.
			const rest = batch.map((item) => ({ ...deleteLink({ name: item.name }), tolerate: ['ENODEV'] }));
			await this.#netlink.apply([{ ...deleteLinkGroup(REAP_GROUP), tolerate: ['ENODEV'] }, ...rest]);
			const ended = await Promise.allSettled(batch.map(async (item) => item.gone?.()));
			for (const result of ended) if (result.status === 'rejected') this.#onError(result.reason);
		} catch (error) {
			this.#onError(error);
		} finally {
			this.#removing = [];
		}
	}
}

function mayBeOne(a: ReapNetns | undefined, b: ReapNetns | undefined): boolean {
	if (a === undefined || b === undefined || a.key !== b.key) return false;
	return a.cookie === b.cookie || a.cookie === 0n || b.cookie === 0n;
}
