import { describe, expect, it } from 'vitest';
import { DnsStream } from './stream.ts';

const MESSAGES = ['first', '', 'a longer one, which is the third', 'x'.repeat(300)].map((text) => Buffer.from(text));

function framed(messages: readonly Buffer[]): Buffer {
	return Buffer.concat(
		messages.flatMap((message) => {
			const length = Buffer.alloc(2);
			length.writeUInt16BE(message.length);
			return [length, message];
		}),
	);
}

const BYTES = framed(MESSAGES);
const LIMIT = 100_000;

describe('streams of messages', () => {
	it('are split whatever the segments are, and wherever the numbers begin', () => {
		for (const first of [0, 1000, 0xffffffff, 0xffffff00]) {
			for (const size of [1, 2, 3, 7, 64, BYTES.length]) {
				const stream = new DnsStream(first, LIMIT);
				const found: Buffer[] = [];
				for (let at = 0; at < BYTES.length; at += size) {
					found.push(...stream.add((first + at) >>> 0, BYTES.subarray(at, at + size)));
				}
				expect(found).toEqual(MESSAGES);
			}
		}
	});

	it('wait for what is missing, in any order of segments, with repeats and overlaps', () => {
		let seed = 3;
		const below = (n: number): number => {
			seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
			return (seed >>> 8) % n;
		};
		for (let round = 0; round < 100; round++) {
			const pieces: number[] = [];
			for (let at = 0; at < BYTES.length; at += 40) pieces.push(at);
			const order = pieces.flatMap((at) => (below(3) === 0 ? [at, at] : [at])).sort(() => below(3) - 1);
			const stream = new DnsStream(5, LIMIT);
			const found: Buffer[] = [];
			for (const at of order) found.push(...stream.add(5 + at, BYTES.subarray(at, at + 40 + below(30))));
			expect(found).toEqual(MESSAGES);
		}
	});

	it('keep the bytes that came first', () => {
		const stream = new DnsStream(0, LIMIT);
		stream.add(2, Buffer.from('ab'));
		stream.add(2, Buffer.from('XY'));
		expect(stream.add(0, Buffer.from([0, 2]))).toEqual([Buffer.from('ab')]);
	});

	it('are given up when too much waits for a byte that does not come', () => {
		const stream = new DnsStream(0, LIMIT);
		for (let at = 1; at < 102; at++) stream.add(at * 1000, Buffer.alloc(1000));
		expect(stream.isLost).toBe(true);
		expect(stream.add(0, BYTES)).toEqual([]);
	});
});
