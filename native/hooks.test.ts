import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileFixture, inNetns, ip, removeScratch, uniqueName } from './testdata/harness.ts';

/* A namespace of this file's with a veth pair; each test runs its body in a child inside it. */
const netns = uniqueName('fl-nh-');
let object = '';

beforeAll(() => {
	object = compileFixture('basic');
	ip('netns', 'add', netns);
	ip('-n', netns, 'link', 'add', 'fl0', 'type', 'veth', 'peer', 'name', 'fl1');
});
afterAll(() => {
	ip('netns', 'del', netns);
	removeScratch();
});

describe('programs at a hook', () => {
	it('are listed in the order in which they run, whoever attached them', () => {
		const result = inNetns(
			netns,
			async (n, { object }) => {
				const o = n.BpfObject.open(object);
				await o.load();
				const [first, second] = [o.program('first'), o.program('second')];
				const device = n.ifindexOf('fl0');
				const before = n.tcxPrograms(device, 'ingress');
				n.BpfLink.attachTcx(second, device, 'ingress');
				const link = n.BpfLink.attachTcx(first, device, 'ingress');
				const both = n.tcxPrograms(device, 'ingress');
				link.detach();
				const wanted = [second.id, first.id];
				return {
					before,
					both,
					wanted,
					after: n.tcxPrograms(device, 'ingress'),
					egress: n.tcxPrograms(device, 'egress'),
				};
			},
			{ object },
		);
		expect(result).toMatchObject({ before: [], both: result.wanted, after: [result.wanted[0]], egress: [] });
	});

	it('are none where there is no such place', () => {
		const result = inNetns(
			netns,
			async (n) => {
				const code = (ask: () => unknown): string => {
					try {
						return JSON.stringify(ask());
					} catch (error) {
						return (error as { code: string }).code;
					}
				};
				return [
					code(() => n.tcxPrograms(4711, 'ingress')),
					code(() => n.xdpPrograms(n.ifindexOf('fl0'))),
					code(() => n.cgroupPrograms('/sys/fs/cgroup/nowhere', 'connect4')),
				];
			},
			{},
		);
		expect(result).toEqual(['ENODEV', '[]', 'ENOENT']);
	});
});

describe('a new network namespace', () => {
	it('is another one, with a loopback device alone, as long as its descriptor is open', () => {
		const result = inNetns(
			netns,
			async (n) => {
				const { closeSync, statSync } = process.getBuiltinModule('node:fs');
				const fd = await n.createNetns();
				const path = `/proc/self/fd/${fd}`;
				const other = n.netnsInode(path) !== n.netnsInode('/proc/self/ns/net');
				closeSync(fd);
				return { other, closed: statSync(path, { throwIfNoEntry: false }) === undefined };
			},
			{},
		);
		expect(result).toEqual({ other: true, closed: true });
	});
});
