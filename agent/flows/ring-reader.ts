/**
 * Connects the kernel's event ring to the observer and turns growing loss counters into losses.
 */
import type { FlowObserver } from './observer.ts';

/** The part of native's RingBuffer that is used. */
export interface RecordSource {
	/** Records lost between the ring and this process since it was opened. */
	readonly lost: bigint;
	close(): void;
}

export interface RingReaderOptions {
	readonly observer: FlowObserver;
	/** Opens the ring: `(onRecords) => new RingBuffer(map, onRecords)`. */
	readonly open: (onRecords: (records: Uint8Array[]) => void) => RecordSource;
	/** Reads METRIC_EVENTS_LOST, summed over CPUs: records the programs could not put into the ring. */
	readonly kernelLost: () => bigint;
	/** How often counters are compared, in milliseconds. */
	readonly intervalMs?: number;
}

export interface RingReader {
	/** Compares the loss counters now. */
	check(): void;
	/** Stops reading; safe to call twice. */
	close(): void;
}

/** Starts reading. Losses from before the start are not reported. */
export function startRingReader(options: RingReaderOptions): RingReader {
	const { observer, kernelLost } = options;
	const ring = options.open((records) => observer.record(records));
	let kernelSeen = kernelLost();
	let queueSeen = ring.lost;
	const check = (): void => {
		const kernelNow = kernelLost();
		const queueNow = ring.lost;
		// a smaller value means that the maps were made anew
		if (kernelNow > kernelSeen) observer.recordLoss('kernel-ring', Number(kernelNow - kernelSeen));
		if (queueNow > queueSeen) observer.recordLoss('agent-queue', Number(queueNow - queueSeen));
		kernelSeen = kernelNow;
		queueSeen = queueNow;
	};
	const timer = setInterval(check, options.intervalMs ?? 1000);
	timer.unref();
	let open = true;
	return {
		check,
		close: () => {
			if (!open) return;
			open = false;
			clearInterval(timer);
			ring.close();
		},
	};
}
