import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NetlinkListener } from './index.ts';
import { inNetns, ip, runChild, uniqueName } from './testdata/harness.ts';

const netns = uniqueName('fl-nl-');
beforeAll(() => {
	ip('netns', 'add', netns);
});
afterAll(() => {
	ip('netns', 'del', netns);
});

/** Of linux/netlink.h and linux/rtnetlink.h. */
const NLMSG_OVERRUN = 4;
const RTM = { NEWLINK: 16, DELLINK: 17, NEWADDR: 20 };
const RTNLGRP = { LINK: 1, IPV4_IFADDR: 5 };
const LIMIT_MS = 10_000;

interface Heard {
	readonly type: number;
	/** 0 = it names none. */
	readonly ifindex: number;
	/** The header says how long the message is. */
	readonly isWhole: boolean;
}

function read(message: Uint8Array): Heard {
	const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
	const isWhole = view.getUint32(0, true) === message.length;
	const ifindex = message.length < 24 ? 0 : view.getInt32(20, true);
	return { type: view.getUint16(4, true), ifindex, isWhole };
}

/** Listens in the namespace, runs `ip` commands, and goes on until `enough`. */
async function hear(
	options: Partial<ConstructorParameters<typeof NetlinkListener>[0]>,
	commands: string,
	enough: (heard: readonly Heard[], isComplete: boolean) => boolean,
): Promise<{ heard: Heard[]; lost: number }> {
	const heard: Heard[] = [];
	const { promise, resolve } = Promise.withResolvers<void>();
	const where = { protocol: 0, netns: `/run/netns/${netns}`, groups: [RTNLGRP.LINK] };
	const listener = new NetlinkListener({ ...where, ...options }, (messages, isComplete) => {
		heard.push(...messages.map(read));
		if (enough(heard, isComplete)) resolve();
	});
	const timer = setTimeout(resolve, LIMIT_MS);
	execFileSync('ip', ['-n', netns, '-batch', '-'], { input: commands });
	await promise;
	clearTimeout(timer);
	const { lost } = listener;
	listener.close();
	listener.close();
	return { heard, lost };
}

/** Of classic BPF, which loads numbers as if they came from a network. */
function instruction(code: number, yes: number, no: number, k: number): Buffer {
	const bytes = Buffer.alloc(8);
	bytes.writeUInt16LE(code, 0);
	bytes.writeUInt8(yes, 2);
	bytes.writeUInt8(no, 3);
	bytes.writeUInt32LE(k, 4);
	return bytes;
}

describe('messages of multicast groups', () => {
	it('arrive whole and in order, of the groups that were joined', async () => {
		const names = Array.from({ length: 20 }, (_, i) => `d${i}`);
		const add = names.map((name, i) => `link add ${name} index ${1000 + i} type bridge\n`).join('');
		const { heard, lost } = await hear({}, `${add}addr add 192.0.2.1/24 dev d0\nlink del d7\n`, (all) =>
			all.some(({ type }) => type === RTM.DELLINK),
		);
		const added = names.map((_, i) => ({ type: RTM.NEWLINK, ifindex: 1000 + i, isWhole: true }));
		expect({ heard, lost }).toEqual({
			heard: [...added, { type: RTM.DELLINK, ifindex: 1007, isWhole: true }],
			lost: 0,
		});
	});

	it('that the filter refuses stay in the kernel', async () => {
		const ofAddresses = [
			instruction(0x28, 0, 0, 4), // ldh [4], the type
			instruction(0x15, 0, 1, RTM.NEWADDR << 8), // jeq
			instruction(0x06, 0, 0, 0xffff_ffff), // ret
			instruction(0x06, 0, 0, 0),
		];
		const { heard } = await hear(
			{ groups: [RTNLGRP.LINK, RTNLGRP.IPV4_IFADDR], filter: Buffer.concat(ofAddresses) },
			'link add f0 type bridge\nlink set f0 up\naddr add 192.0.2.9/24 dev f0\n',
			() => true,
		);
		expect(heard.map(({ type }) => type)).toEqual([RTM.NEWADDR]);
	});

	it('that are lost are counted, and told of with the next batch', async () => {
		const add = Array.from({ length: 200 }, (_, i) => `link add l${i} group 9 type bridge\n`).join('');
		execFileSync('ip', ['-n', netns, '-batch', '-'], { input: add });
		// many times more than may wait anywhere; JavaScript takes nothing meanwhile
		const changes = Array.from({ length: 60 }, (_, i) => `link set group 9 mtu ${1300 + i}\n`).join('');
		const full = await hear({ maxQueued: 5 }, changes, (_, isComplete) => !isComplete);
		expect(full.lost).toBeGreaterThan(0);
		const overrun = await hear({ bufferBytes: 0 }, changes, (_, isComplete) => !isComplete);
		expect(overrun.lost).toBeGreaterThan(0);
		expect(overrun.heard.map(({ type }) => type)).toContain(NLMSG_OVERRUN);
	});
});

describe('misuse', () => {
	it('is refused with a reason', () => {
		const errors = inNetns(
			netns,
			({ NetlinkListener }) => {
				const attempt = (o: object): string => {
					try {
						new NetlinkListener({ protocol: 0, groups: [1], ...o }, () => undefined).close();
						return 'nothing';
					} catch (error) {
						return (error as { code?: string }).code ?? '';
					}
				};
				return [
					attempt({ groups: [100_000] }),
					attempt({ protocol: 99 }),
					attempt({ filter: new Uint8Array(7) }),
					attempt({ filter: new Uint8Array(8) }),
					attempt({ netns: '/run/netns/none-of-these' }),
					attempt({ maxQueued: 0 }),
					attempt({}),
				];
			},
			null,
		) as string[];
		expect(errors).toEqual([
			'EINVAL',
			'EPROTONOSUPPORT',
			'ERR_INVALID_ARG_VALUE',
			'EINVAL',
			'ENOENT',
			'ERR_INVALID_ARG_VALUE',
			'nothing',
		]);
	});

	it('a listener that is left open ends with the process', () => {
		const result = runChild(
			async ({ NetlinkListener }) => {
				new NetlinkListener({ protocol: 0, groups: [1] }, () => undefined);
				setTimeout(() => process.exit(7), 50);
			},
			null,
			{ netns },
		);
		expect(result.status).toBe(7);
	});
});
