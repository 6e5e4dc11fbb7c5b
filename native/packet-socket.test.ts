import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inNetns, ip, runChild, uniqueName } from './testdata/harness.ts';

const netns = uniqueName('fl-ps-');
beforeAll(() => {
	ip('netns', 'add', netns);
	// A socket that is bound to a device that is down fails once, at its first send or in its thread, whichever is sooner.
	ip('-n', netns, 'link', 'set', 'lo', 'up');
	ip('-n', netns, 'link', 'add', 'flps0', 'type', 'veth', 'peer', 'flps1');
	for (const name of ['flps0', 'flps1']) {
		// no neighbour discovery among the frames
		execFileSync('ip', ['netns', 'exec', netns, 'sysctl', '-qw', `net.ipv6.conf.${name}.disable_ipv6=1`]);
		ip('-n', netns, 'link', 'set', name, 'up');
	}
});
afterAll(() => {
	ip('netns', 'del', netns);
});

describe('whole frames', () => {
	it('arrive complete and in order, and are sent by whatever interface', () => {
		const got = inNetns(
			netns,
			async ({ PacketSocket, VIRTIO_HEADER_BYTES, ifindexOf }) => {
				const sender = new PacketSocket({ ifindex: ifindexOf('lo'), mark: 0 }, () => undefined);
				const seen: number[][] = [];
				const lengths: number[] = [];
				let done = () => {};
				const all = new Promise<void>((resolve) => (done = resolve));
				const receiver = new PacketSocket({ ifindex: ifindexOf('flps1'), mark: 0 }, (frames) => {
					for (const frame of frames) {
						lengths.push(frame.length);
						seen.push([...frame.subarray(VIRTIO_HEADER_BYTES + 12, VIRTIO_HEADER_BYTES + 18)]);
					}
					if (seen.length >= 500) done();
				});
				for (let i = 0; i < 500; i++) {
					const frame = new Uint8Array(VIRTIO_HEADER_BYTES + 14 + 50 + (i % 1000));
					frame.set([0x88, 0xb5, i >> 8, i & 255, 7, 9], VIRTIO_HEADER_BYTES + 12);
					sender.send(ifindexOf('flps0'), frame);
				}
				const timer = setTimeout(done, 10_000);
				await all;
				clearTimeout(timer);
				const { lost } = receiver;
				sender.close();
				receiver.close();
				receiver.close();
				return { seen, lengths, lost };
			},
			null,
		) as { seen: number[][]; lengths: number[]; lost: number };
		expect(got.lost).toBe(0);
		expect(got.seen).toEqual(Array.from({ length: 500 }, (_, i) => [0x88, 0xb5, i >> 8, i & 255, 7, 9]));
		expect(got.lengths).toEqual(Array.from({ length: 500 }, (_, i) => 10 + 14 + 50 + (i % 1000)));
	});

	it('that nobody takes are dropped and counted', () => {
		const lost = inNetns(
			netns,
			async ({ PacketSocket, ifindexOf }) => {
				const receiver = new PacketSocket({ ifindex: ifindexOf('flps1'), mark: 0, maxQueued: 10 }, () => undefined);
				for (let i = 0; i < 100; i++) receiver.send(ifindexOf('flps0'), new Uint8Array(100));
				const end = Date.now() + 10_000;
				// JavaScript takes nothing while this runs
				while (receiver.lost < 90 && Date.now() < end) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
				const { lost } = receiver;
				receiver.close();
				return lost;
			},
			null,
		);
		expect(lost).toBe(90);
	});
});

describe('misuse', () => {
	it('is refused with a reason', () => {
		const errors = inNetns(
			netns,
			({ PacketSocket, ifindexOf }) => {
				const attempt = (work: () => unknown): string => {
					try {
						work();
						return 'nothing';
					} catch (error) {
						return `${(error as { code?: string }).code} ${(error as Error).message}`;
					}
				};
				const socket = new PacketSocket({ ifindex: ifindexOf('flps1'), mark: 0 }, () => undefined);
				const found = [
					attempt(() => new PacketSocket({ ifindex: 0, mark: 0 }, () => undefined)),
					attempt(() => new PacketSocket({ ifindex: 987654, mark: 0 }, () => undefined)),
					attempt(() => socket.send(ifindexOf('flps0'), new Uint8Array(10))),
					attempt(() => socket.send(987654, new Uint8Array(100))),
				];
				socket.close();
				found.push(attempt(() => socket.send(ifindexOf('flps0'), new Uint8Array(100))));
				return found;
			},
			null,
		) as string[];
		expect(errors.map((error) => error.split(' ')[0])).toEqual([
			'ERR_INVALID_ARG_VALUE',
			'ENODEV',
			'ERR_INVALID_ARG_VALUE',
			'ENXIO',
			'EBADF',
		]);
	});

	it('a socket that is left open ends with the process', () => {
		const result = runChild(
			async ({ PacketSocket, ifindexOf }) => {
				new PacketSocket({ ifindex: ifindexOf('flps1'), mark: 0 }, () => undefined);
				setTimeout(() => process.exit(7), 50);
			},
			null,
			{ netns },
		);
		expect(result.status).toBe(7);
	});
});
