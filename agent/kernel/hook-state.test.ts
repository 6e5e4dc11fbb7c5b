import { describe, expect, it } from 'vitest';
import { type HookQueries, inspectHooks, type WantedHook } from './hook-state.ts';
import type { FilterInfo } from './netlink-filters.ts';
import { dumpFilters, parseFilterInfo } from './netlink-filters.ts';

const INGRESS: WantedHook = { name: 'uplink_2_in', target: { kind: 'tc', ifindex: 2, where: 'ingress' }, programId: 7 };
const XDP: WantedHook = { name: 'uplink_2_xdp', target: { kind: 'xdp', ifindex: 2, mode: 'native' }, programId: 8 };
const OURS: FilterInfo = { ifindex: 2, priority: 1, handle: 0xf1, kind: 'bpf', programId: 7, name: 'from_uplink' };

function queries(programs: readonly number[] | string, filters: readonly FilterInfo[] = []): HookQueries {
	return {
		programs: () => {
			if (typeof programs === 'string') throw Object.assign(new Error(programs), { code: programs });
			return programs;
		},
		filters: async (targets) => targets.map(() => filters),
		nameOf: (id) => (id === 99 ? '' : `p${id}`),
	};
}

const look = async (hook: WantedHook, asked: HookQueries, useTcx = true) =>
	(await inspectHooks([hook], asked, useTcx))[0];

describe('inspectHooks', () => {
	it('finds our program and who is before and after it', async () => {
		expect(await look(INGRESS, queries([3, 7, 99]))).toEqual({
			...{ name: 'uplink_2_in', kind: 'tc-ingress', state: 'attached' },
			foreign: [
				{ what: 'program p3 (id 3)', position: 'before' },
				{ what: 'program without name (id 99)', position: 'after' },
			],
		});
	});

	it('finds filters of others, which run after tcx, in the order of their priority', async () => {
		const filters = [
			{ ifindex: 2, priority: 5, handle: 1, kind: 'flower', name: '' },
			{ ifindex: 2, priority: 2, handle: 1, kind: 'bpf', programId: 4, name: 'cil_from_netdev' },
		];
		expect((await look(INGRESS, queries([7], filters)))?.foreign).toEqual([
			{ what: 'filter bpf cil_from_netdev (id 4) of priority 2', position: 'after' },
			{ what: 'filter flower of priority 5', position: 'after' },
		]);
	});

	it('sees that our program is gone, although another is there', async () => {
		expect(await look(INGRESS, queries([]))).toMatchObject({ state: 'lost', foreign: [] });
		expect(await look(XDP, queries([5]))).toMatchObject({
			state: 'lost',
			foreign: [{ what: 'program p5 (id 5)', position: 'only' }],
		});
	});

	it('tells a device that is gone from a program that is', async () => {
		for (const code of ['ENODEV', 'ENOENT'])
			expect(await look(INGRESS, queries(code))).toMatchObject({ state: 'gone' });
		await expect(look(INGRESS, queries('EPERM'))).rejects.toThrow('EPERM');
	});

	it('knows our filter where there is no tcx, by its slot', async () => {
		const before = { ifindex: 2, priority: 1, handle: 1, kind: 'bpf', programId: 3, name: 'x' };
		expect(await look(INGRESS, queries('EINVAL', [before, OURS]), false)).toMatchObject({
			state: 'attached',
			foreign: [{ position: 'before' }],
		});
		expect(await look(INGRESS, queries('EINVAL', [before]), false)).toMatchObject({ state: 'lost' });
	});

	it('takes no program of ours for that of somebody else', async () => {
		const [first, second] = await inspectHooks([INGRESS, XDP], queries([7, 8]), true);
		expect([first?.foreign, second?.foreign]).toEqual([[], []]);
	});
});

describe('filters', () => {
	it('are asked for at the parent of clsact', () => {
		const { payload, type } = dumpFilters(9, 'egress');
		expect([type, Buffer.from(payload).readInt32LE(4), Buffer.from(payload).readUInt32LE(12)]).toEqual([
			46, 9, 0xffff_fff3,
		]);
	});

	it('are read with program and name, and the head of their list is none of them', () => {
		const attribute = (type: number, data: Buffer): Buffer => {
			const head = Buffer.alloc(4);
			head.writeUInt16LE(4 + data.length, 0);
			head.writeUInt16LE(type, 2);
			return Buffer.concat([head, data, Buffer.alloc((4 - (data.length % 4)) % 4)]);
		};
		const id = Buffer.alloc(4);
		id.writeUInt32LE(42);
		const options = Buffer.concat([attribute(7, Buffer.from('mine\0')), attribute(11, id)]);
		const head = Buffer.alloc(20);
		head.writeInt32LE(9, 4);
		head.writeUInt32LE(3 * 65536, 16);
		const record = (handle: number) => {
			const copy = Buffer.from(head);
			copy.writeUInt32LE(handle, 8);
			return Buffer.concat([copy, attribute(1, Buffer.from('bpf\0')), attribute(2, options)]);
		};
		expect(parseFilterInfo(record(0))).toBeUndefined();
		expect(parseFilterInfo(record(1))).toEqual({
			...{ ifindex: 9, priority: 3, handle: 1, kind: 'bpf', programId: 42, name: 'mine' },
		});
	});
});
