/**
 * Ends flows of datagrams that clients began towards an address and port before it was this service port's: nobody's then, or another
 * one's. A client that goes on from the same port would never come to the service.
 */
import type { Logger } from 'pino';
import type { FlowEnd } from '../../native/index.ts';
import { type ForgetReport, forgetDestinations } from '../kernel/ct-forget.ts';
import type { CtMaps } from '../kernel/ct-gc.ts';
import type { JiffiesClock } from '../kernel/jiffies.ts';
import { addressBytes } from '../model/address.ts';
import { errorMessage } from '../model/errors.ts';
import type { TakenFrontend } from '../reconcile/services-diff.ts';
import { delayOf, type LastLook } from './socket-ender.ts';

export interface FlowEnderOptions {
	readonly maps: CtMaps;
	readonly clock: JiffiesClock;
	/** 16-byte addresses of this node that masquerading uses; asked at every look. */
	readonly nodeAddresses: () => readonly Uint8Array[];
	readonly onEnded: (report: ForgetReport) => void;
	readonly log: Logger;
	/** How long the first of them waits for others: all share one look at the tables. */
	readonly delayMs?: number;
	/** Default: forgetDestinations. */
	readonly forget?: typeof forgetDestinations;
}

export class FlowEnder {
	readonly #options: FlowEnderOptions;
	#waiting = new Map<string, FlowEnd>();
	#timer: NodeJS.Timeout | undefined;
	#running: Promise<void> = Promise.resolve();
	#last: LastLook = { endedMs: 0, tookMs: 0 };
	#closed = false;

	constructor(options: FlowEnderOptions) {
		this.#options = options;
	}

	/**
	 * What service ports have newly; the maps say so already, so that flows which begin later have met the service: whatever comes while these
	 * wait is no reason to end them. Of one that comes again the later time counts, as another service port has it since, and flows of
	 * between the two met the former.
	 */
	add(taken: readonly TakenFrontend[]): void {
		if (taken.length === 0 || this.#closed) return;
		const before = this.#options.clock.now();
		for (const { address, port, proto } of taken)
			this.#waiting.set(`${address}|${port}|${proto}`, { address: addressBytes(address), port, proto, before });
		this.#timer ??= setTimeout(
			() => {
				this.#timer = undefined;
				const batch = [...this.#waiting.values()];
				this.#waiting = new Map();
				this.#running = this.#running.then(() => this.#end(batch));
			},
			delayOf(performance.now(), this.#last, this.#options.delayMs),
		);
	}

	async close(): Promise<void> {
		this.#closed = true;
		clearTimeout(this.#timer);
		await this.#running;
	}

	async #end(batch: readonly FlowEnd[]): Promise<void> {
		const { maps, clock, nodeAddresses, onEnded, log, forget = forgetDestinations } = this.#options;
		const beganMs = performance.now();
		try {
			const report = await forget({ ...maps, clock, nodeAddresses: nodeAddresses() }, batch);
			onEnded(report);
			if (report.deleted > 0)
				log.info({ entries: report.deleted, frontends: batch.length }, 'flows of before a service ended');
		} catch (error) {
			log.warn({ error: errorMessage(error) }, 'flows of before a service not ended');
		}
		const endedMs = performance.now();
		this.#last = { endedMs, tookMs: endedMs - beganMs };
	}
}
