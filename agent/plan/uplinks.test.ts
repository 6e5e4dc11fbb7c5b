import { describe, expect, it } from 'vitest';
import { Limits, type Uplink } from '../../native/abi/generated.ts';
import { addressOfBytes } from '../model/address.ts';
import { planUplinkRows, type WantedUplink } from './uplinks.ts';

const want = (ifindex: number, ...addresses: string[]): WantedUplink => ({ ifindex, mtu: 1500, addresses });

/** What the map holds after a start of an agent that wants these, and the plan of it. */
function next(rows: readonly Uplink[], ...wanted: WantedUplink[]) {
	const plan = planUplinkRows(rows, wanted);
	const unused: Uplink = { ifindex: 0, mtu: 0, addr4: new Uint8Array(16), addr6: new Uint8Array(16) };
	const after = Array.from({ length: Limits.UPLINKS }, (_, index) => rows[index] ?? unused);
	for (const { index, row } of [...plan.writes, ...plan.clears]) after[index] = row;
	return { ...plan, rows: after };
}

const first = (...wanted: WantedUplink[]) => next([], ...wanted);

/** 'index: ifindex mtu addresses' of rows that hold something. */
function text(rows: readonly Uplink[]): string[] {
	return rows.flatMap((row, index) => {
		const addresses = [row.addr4, row.addr6].filter((bytes) => bytes.some((byte) => byte !== 0));
		if (row.ifindex === 0 && addresses.length === 0) return [];
		return [`${index}: ${[row.ifindex, row.mtu, ...addresses.map((bytes) => addressOfBytes(bytes))].join(' ')}`];
	});
}

const A = want(3, '192.0.2.1', '2001:db8::1');
const B = want(4, '198.51.100.1');
const C = want(5, '203.0.113.1');

describe('rows of further uplinks', () => {
	it('begin at index 1, which is also what programs are told', () => {
		const { rows, uplinkRows } = first(A, B);
		expect(text(rows)).toEqual(['1: 3 1500 192.0.2.1 2001:db8::1', '2: 4 1500 198.51.100.1']);
		expect(uplinkRows).toBe(2);
		expect(first().uplinkRows).toBe(0);
	});

	it('cost nothing when nothing has changed, in whatever order interfaces are found', () => {
		const { rows } = first(A, B);
		for (const again of [next(rows, A, B), next(rows, B, A)]) {
			expect(again).toMatchObject({ writes: [], clears: [], uplinkRows: 2 });
		}
	});

	it.each([
		['another index', { ...A, ifindex: 9 }, '1: 9 1500 192.0.2.1 2001:db8::1'],
		['another MTU', { ...A, mtu: 9000 }, '1: 3 9000 192.0.2.1 2001:db8::1'],
	])('stay where they are with %s', (_what, changed, expected) => {
		const { rows, writes } = next(first(A, B).rows, changed, B);
		expect(writes).toHaveLength(1);
		expect(text(rows)[0]).toBe(expected);
	});

	it('keep the addresses of an interface that is gone, which gets its row back', () => {
		const gone = next(first(A, B).rows, A);
		expect(text(gone.rows)).toEqual(['1: 3 1500 192.0.2.1 2001:db8::1', '2: 0 1500 198.51.100.1']);
		expect(gone.uplinkRows).toBe(2);
		expect(text(next(gone.rows, A, { ...B, ifindex: 7 }).rows)[1]).toBe('2: 7 1500 198.51.100.1');
	});

	it('are new ones for an interface with other addresses; the old one is cleared after the new one is known', () => {
		const plan = next(first(A).rows, want(3, '192.0.2.77'));
		expect(plan.writes.map(({ index }) => index)).toEqual([2]);
		expect(plan.clears.map(({ index }) => index)).toEqual([1]);
		expect(text(plan.rows)).toEqual(['1: 0 1500 192.0.2.1 2001:db8::1', '2: 3 1500 192.0.2.77']);
		expect(plan.uplinkRows).toBe(2);
	});

	it('follow an address that moves to another interface', () => {
		const { rows } = next(first(A, B).rows, { ...B, ifindex: 3 });
		expect(text(rows)).toEqual(['1: 0 1500 192.0.2.1 2001:db8::1', '2: 3 1500 198.51.100.1']);
	});

	it('tell interfaces of the same addresses apart by their indexes', () => {
		const twins = [want(3, '192.0.2.1'), want(4, '192.0.2.1')];
		const { rows } = first(...twins);
		expect(next(rows, ...twins.toReversed())).toMatchObject({ writes: [], clears: [] });
	});

	it('are used again only when there are no others, those without interface first', () => {
		const many = Array.from({ length: Limits.UPLINKS - 1 }, (_, n) => want(10 + n, `192.0.2.${n + 1}`));
		const { rows } = next(first(...many).rows, ...many.toSpliced(2, 1));
		const full = next(rows, ...many.toSpliced(2, 1), C);
		expect(full.writes.map(({ index }) => index)).toEqual([3]);
		expect(text(full.rows)[2]).toBe('3: 5 1500 203.0.113.1');
		expect(next(first(A, B).rows, A, C).writes.map(({ index }) => index)).toEqual([3]);
		const moved = want(10, '203.0.113.9');
		expect(next(rows, moved, ...many.toSpliced(2, 1).slice(1)).writes.map(({ index }) => index)).toEqual([3]);
	});

	it('know an interface without address of its own by its index, and forget it when it is gone', () => {
		const { rows, uplinkRows } = first(want(3), B);
		expect(text(rows)).toEqual(['1: 3 1500', '2: 4 1500 198.51.100.1']);
		expect(uplinkRows).toBe(2);
		expect(next(rows, want(3), B)).toMatchObject({ writes: [], clears: [] });
		const gone = next(rows, B);
		expect(text(gone.rows)).toEqual(['2: 4 1500 198.51.100.1']);
		expect(next(gone.rows, B, C).writes.map(({ index }) => index)).toEqual([1]);
	});

	it('never take index 0, which is the uplink', () => {
		const many = Array.from({ length: Limits.UPLINKS + 3 }, (_, n) => want(10 + n, `192.0.2.${n + 1}`));
		const { writes, uplinkRows } = first(...many);
		expect(writes.map(({ index }) => index)).toEqual([1, 2, 3, 4, 5, 6, 7]);
		expect(uplinkRows).toBe(7);
	});
});
