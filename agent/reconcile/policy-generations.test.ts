import { describe, expect, it } from 'vitest';
import { Endpoint } from '../../native/abi/generated.ts';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
import { PolicyGenerations } from './policy-generations.ts';

const NONE = Endpoint.decode(new Uint8Array(Endpoint.size));
const key = (index: number): Uint8Array => new Uint8Array(new Uint32Array([index]).buffer);

describe('PolicyGenerations', () => {
	it('begin at 1, so that flows of programs without policies are judged, and keep what was there', () => {
		const kernel = new FakeKernel();
		const row = (index: number): Endpoint => Endpoint.decode(kernel.mapGet('endpoints', key(index))!);
		kernel.mapSet('endpoints', key(3), Endpoint.encode({ ...NONE, policyGen: 7, ifindex: 9 }));
		new PolicyGenerations(kernel).begin();
		expect([0, 1, 3, 63].map((index) => row(index))).toEqual([
			{ ...NONE, policyGen: 1 },
			{ ...NONE, policyGen: 1 },
			{ ...NONE, policyGen: 7, ifindex: 9 },
			{ ...NONE, policyGen: 1 },
		]);
	});

	it('are never 0, which flows of programs without policies remember, and change nothing else', () => {
		const kernel = new FakeKernel();
		const generations = new PolicyGenerations(kernel);
		const full = Endpoint.decode(new Uint8Array(Endpoint.size).fill(0xff));
		kernel.mapSet('endpoints', key(2), Endpoint.encode({ ...full, policyGen: 0xfffe }));
		generations.bump(2);
		expect(Endpoint.decode(kernel.mapGet('endpoints', key(2))!)).toEqual(full);
		generations.bump(2);
		expect(Endpoint.decode(kernel.mapGet('endpoints', key(2))!)).toEqual({ ...full, policyGen: 1 });
		generations.bump(1_000_000);
		expect(() => kernel.mapGet('endpoints', key(1_000_000))).not.toThrow();
	});
});
