import { afterEach, describe, expect, it, vi } from 'vitest';
import { address, link } from '../../test/lib/machine.ts';
import { SteppedClock } from '../../test/lib/stepped-clock.ts';
import type { ListenOptions, MachineNotice } from '../kernel/machine-notices.ts';
import { MachineWatch } from './machine-watch.ts';

const SETTLED_MS = 500;

const there = (ifindex: number, text: string): MachineNotice => ({
	...{ kind: 'address', gone: false },
	address: address(ifindex, text),
});

/** A machine with eth0 that is watched from its beginning on. */
function watch(o: { listen?: (options: ListenOptions) => void } = {}) {
	const clock = new SteppedClock();
	const kernel = { addresses: [address(2, '192.0.2.1')], reads: 0 };
	const logged: string[] = [];
	const seen = { looks: 0 };
	let listening: ListenOptions | undefined;
	const watched = new MachineWatch({
		clock,
		netlink: {
			links: async () => [link(1, 'lo', { type: 772 }), link(2, 'eth0')],
			addresses: async () => {
				kernel.reads++;
				return kernel.addresses;
			},
		},
		isUplink: (name) => name === 'eth0',
		isPlanned: () => false,
		onChange: () => void seen.looks++,
		log: { info: (text: string) => logged.push(text), warn: (_: object, text: string) => logged.push(text) } as never,
		listen: (options) => {
			o.listen?.(options);
			listening = options;
			return { close: () => undefined };
		},
	});
	return {
		...{ watched, kernel, logged, seen },
		tell: (notices: readonly MachineNotice[], isComplete = true) => listening?.onNotices(() => notices, isComplete),
		end: (why: string) => listening?.onEnd(why),
		/** Lets time pass, and what is read be read. */
		async pass(ms: number) {
			clock.advance(ms);
			for (let i = 0; i < 10; i++) await Promise.resolve();
		},
	};
}

afterEach(() => {
	vi.useRealTimers();
});

describe('the watch of the machine', () => {
	it('looks once at its beginning, because there may have been changes before it', async () => {
		const { seen, pass } = watch();
		await pass(SETTLED_MS);
		await pass(600_000);
		expect(seen.looks).toBe(1);
	});

	it('looks when something has changed, and not when it is told what it knows', async () => {
		const { seen, tell, pass } = watch();
		await pass(SETTLED_MS);
		tell([there(2, '192.0.2.1')]);
		await pass(600_000);
		expect(seen.looks).toBe(1);
		tell([there(2, '192.0.2.2')]);
		await pass(SETTLED_MS);
		expect(seen.looks).toBe(2);
	});

	it('reads everything again when notices were lost, and goes on from there', async () => {
		const { seen, kernel, tell, pass } = watch();
		await pass(SETTLED_MS);
		kernel.addresses = [address(2, '192.0.2.7')];
		tell([], false);
		tell([there(2, '192.0.2.8')]);
		await pass(SETTLED_MS);
		expect({ looks: seen.looks, reads: kernel.reads }).toEqual({ looks: 2, reads: 2 });
		tell([there(2, '192.0.2.7')]);
		await pass(600_000);
		expect(seen.looks).toBe(2);
		tell([there(2, '192.0.2.1')]);
		await pass(SETTLED_MS);
		expect(seen.looks).toBe(3);
	});

	it('takes what it is told while it reads for newer than what it reads', async () => {
		const { seen, kernel, tell, pass } = watch();
		await pass(SETTLED_MS);
		kernel.addresses = [];
		tell([], false);
		const { addresses } = kernel;
		Object.defineProperty(kernel, 'addresses', {
			get: () => {
				tell([there(2, '192.0.2.9')]);
				return addresses;
			},
		});
		await pass(SETTLED_MS);
		await pass(SETTLED_MS);
		expect(seen.looks).toBe(3);
		tell([there(2, '192.0.2.9')]);
		await pass(600_000);
		expect(seen.looks).toBe(3);
	});

	it('costs a bounded number of looks and reads while notices are lost all the time', async () => {
		const { seen, kernel, tell, pass } = watch();
		for (let i = 0; i < 6000; i++) {
			tell([], false);
			await pass(10);
		}
		expect(seen.looks).toBeLessThanOrEqual(17);
		expect(kernel.reads).toBeLessThanOrEqual(17);
	});

	it('opens its socket again after that has ended, says so once, and looks', async () => {
		vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
		let refuse = false;
		const { seen, logged, end, pass } = watch({
			listen: () => {
				if (refuse) throw new Error('not now');
			},
		});
		await pass(SETTLED_MS);
		refuse = true;
		end('ENOMEM');
		vi.advanceTimersByTime(35_000);
		expect(logged).toHaveLength(2); // the reason has changed once
		refuse = false;
		vi.advanceTimersByTime(10_000);
		await pass(SETTLED_MS);
		expect(logged.slice(2)).toEqual(['changes of interfaces are noticed at once again']);
		expect(seen.looks).toBe(2);
	});

	it('is over when it is closed', async () => {
		const { watched, seen, tell, pass } = watch();
		tell([there(2, '192.0.2.2')]);
		watched.close();
		await pass(600_000);
		expect(seen.looks).toBe(0);
	});
});
