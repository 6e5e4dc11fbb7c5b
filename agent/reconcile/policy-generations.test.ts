import { describe, expect, it } from 'vitest';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
import { PolicyGenerations } from './policy-generations.ts';

describe('PolicyGenerations', () => {
	it('begin at 1, so that flows of programs without policies are judged, and keep what was there', () => {
		const kernel = new FakeKernel();
		const words = kernel.shared('policygen');
		words.setUint32(3 * 8, 7, true);
		new PolicyGenerations(kernel).begin();
		expect([0, 1, 3].map((index) => words.getUint32(index * 8, true))).toEqual([1, 1, 7]);
	});

	it('never have low bits of zero, which flows of programs without policies remember', () => {
		const kernel = new FakeKernel();
		const words = kernel.shared('policygen');
		const generations = new PolicyGenerations(kernel);
		words.setUint32(2 * 8, 0xffff, true);
		generations.bump(2);
		expect(words.getUint32(2 * 8, true)).toBe(0x10001);
		words.setUint32(2 * 8, 0xffffffff, true);
		generations.bump(2);
		expect(words.getUint32(2 * 8, true)).toBe(1);
		generations.bump(1_000_000);
	});
});
