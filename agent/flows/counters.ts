/**
 * Sums of the per-CPU counters the programs keep.
 */
import { DropCounter, DropReason, Metric } from '../../native/abi/generated.ts';
import { DROP_NUMBERS } from './drop-reasons.ts';

/** Reads one element of a per-CPU array: the values of all possible CPUs, one after the other. */
export type ReadElement = (map: 'drops' | 'metrics', key: Uint8Array) => Uint8Array | undefined;

export interface DropTotal {
	/** DropReason */
	readonly reason: number;
	readonly packets: bigint;
	readonly bytes: bigint;
}

export type MetricName = Exclude<keyof typeof Metric, 'MAX'>;

/** Totals of every reason, zero or not, by ascending number. */
export function readDropTotals(read: ReadElement): DropTotal[] {
	return DROP_NUMBERS.filter((reason) => reason < DropReason.MAX).map((reason) => {
		const values = read('drops', indexKey(reason));
		return { reason, ...sumDropCounters(values ?? new Uint8Array()) };
	});
}

/** Adds up `struct drop_counter` of all CPUs; an incomplete last one is ignored. */
export function sumDropCounters(values: Uint8Array): { packets: bigint; bytes: bigint } {
	let packets = 0n;
	let bytes = 0n;
	for (let at = 0; at + DropCounter.size <= values.length; at += DropCounter.size) {
		const counter = DropCounter.decode(values, at);
		packets += counter.packets;
		bytes += counter.bytes;
	}
	return { packets, bytes };
}

/** One value of the metrics map, summed over the CPUs; 0 when it cannot be read. */
export function readMetric(read: ReadElement, name: MetricName): bigint {
	const values = read('metrics', indexKey(Metric[name]));
	if (values === undefined) return 0n;
	const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
	let sum = 0n;
	for (let at = 0; at + 8 <= view.byteLength; at += 8) sum += view.getBigUint64(at, true);
	return sum;
}

function indexKey(index: number): Uint8Array {
	const key = new Uint8Array(4);
	new DataView(key.buffer).setUint32(0, index, true);
	return key;
}
