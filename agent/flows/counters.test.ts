import { describe, expect, it } from 'vitest';
import { DropCounter, DropReason, Metric } from '../../native/abi/generated.ts';
import type { ReadElement } from './counters.ts';
import { readDropTotals, readMetric, sumDropCounters } from './counters.ts';

function concat(...parts: Uint8Array[]): Uint8Array {
	return new Uint8Array(Buffer.concat(parts));
}

const counter = (packets: bigint, bytes: bigint) => DropCounter.encode({ packets, bytes });

describe('counters', () => {
	it('adds the counters of all CPUs', () => {
		expect(sumDropCounters(concat(counter(1n, 100n), counter(2n ** 40n, 5n)))).toEqual({
			packets: 2n ** 40n + 1n,
			bytes: 105n,
		});
	});

	it('reads every reason once by its number', () => {
		const asked: number[] = [];
		const read: ReadElement = (map, key) => {
			expect(map).toBe('drops');
			const reason = new DataView(key.buffer).getUint32(0, true);
			asked.push(reason);
			return reason === DropReason.NO_ROUTE ? concat(counter(3n, 30n), counter(1n, 10n)) : counter(0n, 0n);
		};
		const totals = readDropTotals(read);
		expect(totals.filter((total) => total.packets > 0n)).toEqual([
			{ reason: DropReason.NO_ROUTE, packets: 4n, bytes: 40n },
		]);
		expect(asked).toHaveLength(DropReason.MAX - 1);
	});

	it('sums a metric and takes a missing one as zero', () => {
		const read: ReadElement = (_map, key) => {
			if (new DataView(key.buffer).getUint32(0, true) !== Metric.CT_CREATED) return undefined;
			return new Uint8Array(new BigUint64Array([5n, 6n, 7n]).buffer);
		};
		expect(readMetric(read, 'CT_CREATED')).toBe(18n);
		expect(readMetric(read, 'CT_CLOSED')).toBe(0n);
	});
});
