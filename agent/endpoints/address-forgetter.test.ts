import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AddressForgetter } from './address-forgetter.ts';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

function make(forget: (addresses: readonly string[]) => Promise<void>) {
	const seen: { walks: string[][]; forgotten: string[]; errors: unknown[] } = { walks: [], forgotten: [], errors: [] };
	const forgetter = new AddressForgetter({
		forget: (addresses) => {
			seen.walks.push([...addresses]);
			return forget(addresses);
		},
		onForgotten: (addresses) => seen.forgotten.push(...addresses),
		onError: (error) => seen.errors.push(error),
		delayMs: 1000,
		retryMs: 10_000,
	});
	return { forgetter, seen };
}

describe('released addresses', () => {
	it('share one walk when they come within its delay', async () => {
		const { forgetter, seen } = make(async () => undefined);
		for (let i = 0; i < 50; i++) forgetter.add([`10.0.0.${i}`]);
		await vi.advanceTimersByTimeAsync(999);
		expect(seen.walks).toEqual([]);
		await vi.advanceTimersByTimeAsync(1);
		expect(seen.walks).toHaveLength(1);
		expect(seen.forgotten).toHaveLength(50);
	});

	it('that come during a walk wait for the next, not for a second one beside it', async () => {
		let end: () => void = () => undefined;
		const { forgetter, seen } = make(() => new Promise((resolve) => (end = resolve)));
		forgetter.add(['10.0.0.1']);
		await vi.advanceTimersByTimeAsync(1000);
		forgetter.add(['10.0.0.2']);
		await vi.advanceTimersByTimeAsync(5000);
		expect(seen.walks).toEqual([['10.0.0.1']]);
		end();
		await vi.advanceTimersByTimeAsync(1000);
		expect(seen.walks).toEqual([['10.0.0.1'], ['10.0.0.2']]);
	});

	it('are tried again after a walk failed, together with what came since', async () => {
		let failures = 1;
		const { forgetter, seen } = make(async () => {
			if (failures-- > 0) throw new Error('EINTR');
		});
		forgetter.add(['10.0.0.1']);
		await vi.advanceTimersByTimeAsync(1000);
		forgetter.add(['10.0.0.2']);
		expect(seen.errors).toHaveLength(1);
		await vi.advanceTimersByTimeAsync(10_000);
		expect(seen.forgotten).toEqual(['10.0.0.1', '10.0.0.2']);
	});

	it('are left to the next agent when this one ends', async () => {
		const { forgetter, seen } = make(async () => undefined);
		forgetter.add(['10.0.0.1']);
		await forgetter.close();
		await vi.advanceTimersByTimeAsync(60_000);
		expect(seen.walks).toEqual([]);
	});
});
