import { describe, expect, it } from 'vitest';
import { PolicyDenied } from '../../native/abi/generated.ts';
import { RuleLedger } from './rule-ledger.ts';

const rows = (...values: number[]) => [Float64Array.from(values)];
const AT = new Date('2026-01-31T12:00:00Z');

function ledger(denied: Record<number, bigint> = {}): RuleLedger {
	return new RuleLedger((key) => {
		const cookie = new DataView(key.buffer, key.byteOffset).getUint32(0, true);
		return PolicyDenied.encode({ packets: denied[cookie] ?? 0n, bytes: (denied[cookie] ?? 0n) * 60n });
	});
}

describe('RuleLedger', () => {
	it('adds what is open, as of the last look, to what has ended since the start', () => {
		const counts = ledger();
		counts.collected([{ live: rows(20, 2, 10, 1000), ended: [] }], AT);
		counts.collected([{ live: rows(20, 1, 7, 700), ended: rows(20, 1, 5, 500, 21, 1, 1, 60) }], AT);
		expect(counts.of(20)).toMatchObject({ flows: 1, allowedPackets: 12n, allowedBytes: 1200n });
		expect(counts.of(21)).toMatchObject({ flows: 0, allowedPackets: 1n, allowedBytes: 60n });
		expect(counts.counted).toEqual(AT);
	});

	it('counts flows once that are ended between two looks', () => {
		const counts = ledger();
		counts.collected([{ live: rows(20, 2, 10, 1000), ended: [] }], AT);
		counts.ended({ live: [], ended: rows(20, 1, 6, 600) });
		expect(counts.of(20)).toMatchObject({ flows: 1, allowedPackets: 10n, allowedBytes: 1000n });
		counts.collected([{ live: rows(20, 1, 5, 500), ended: [] }], AT);
		expect(counts.of(20)).toMatchObject({ flows: 1, allowedPackets: 11n });
	});

	it('reads what was denied from the map', () => {
		expect(ledger({ 1: 3n }).of(1)).toMatchObject({ deniedPackets: 3n, deniedBytes: 180n, allowedPackets: 0n });
	});
});
