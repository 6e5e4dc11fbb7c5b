/** The dataplane's life on the real kernel: first start, restart, upgrade, rollback, interrupted upgrade, refusal. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
	Ct4Entry,
	Ct4Key,
	CtFlags,
	CtKey,
	Maps,
	RuntimeState,
	SvcEntry,
	SvcKey,
	Uplink,
} from '../../native/abi/generated.ts';
import { BpfMap } from '../../native/index.ts';
import { BPF_OUTPUT, buildPrograms, compileBpf } from '../../scripts/build-bpf.ts';
import { NetnsProcess } from '../../test/lib/netns-process.ts';
import type { CarryReport } from './carry-over.ts';
import { widenKey } from './ct-gc.ts';
import type { ActivationReport } from './datapath.ts';
import type { HookState } from './hook-state.ts';
import { PORT_ROWS_PIN } from './port-rows.ts';
import type { OpenRequest } from './testdata/datapath-process.ts';

const FLOWS = 1000;
const name = `fldptest${process.pid}`;
const bpffsDir = join('/sys/fs/bpf', name);
const mapsDir = join(bpffsDir, 'maps');
const linksDir = join(bpffsDir, 'links');
const cgroupRoot = join(cgroup2Mount(), name);
const request: OpenRequest = { objectDir: BPF_OUTPUT, bpffsDir, cgroupRoot };
/** Interfaces of the namespace: 1 lo, then two veth pairs. */
const [UPLINK, POD, PEER] = [3, 5, 4];
const attachments = { uplinks: [UPLINK], endpoints: [{ ifindex: POD, pinName: 'a' }] };

/** Other sizes are another layout to carry flows into. */
const RESIZED = { ct4: 8192, ct6: 8192 };

let scratch: string;
let other: string;
let agent: NetnsProcess;

function cgroup2Mount(): string {
	return existsSync('/sys/fs/cgroup/cgroup.controllers') ? '/sys/fs/cgroup' : '/sys/fs/cgroup/unified';
}

beforeAll(async () => {
	scratch = mkdtempSync(join(tmpdir(), 'fairlead-datapath-'));
	other = join(scratch, 'other.bpf.o');
	await compileBpf({ source: join(import.meta.dirname, 'testdata/other-version.bpf.c'), output: other });
	await buildPrograms();
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

beforeEach(async () => {
	mkdirSync(cgroupRoot, { recursive: true });
	agent = new NetnsProcess(join(import.meta.dirname, 'testdata/datapath-process.ts'));
	for (const [index, peer] of [
		[2, 3],
		[4, 5],
	]) {
		const pair = ['link', 'add', `v${index}`, 'index', `${index}`, 'type', 'veth', 'peer', `v${peer}`];
		await agent.call('ip', [...pair, 'index', `${peer}`]);
	}
});
afterEach(async () => {
	await agent.close();
	rmSync(bpffsDir, { recursive: true, force: true });
	execFileSync('rmdir', [cgroupRoot]);
});

const pins = (): string[] => (existsSync(mapsDir) ? readdirSync(mapsDir).sort() : []);
const links = (): string[] => readdirSync(linksDir).sort();
const mapId = (pin: string): Promise<number> => agent.call('mapId', join(mapsDir, pin));
const open = (changes: Partial<OpenRequest> = {}): Promise<CarryReport[]> =>
	agent.call('open', { ...request, ...changes });
const activate = (wanted: object = attachments): Promise<ActivationReport> => agent.call('activate', wanted);
const finalPins = Object.values(Maps)
	.map((map) => map.name)
	.sort();
const flowKey = (i: number): Uint8Array =>
	Ct4Key.encode({ lo: 0x0a000001, hi: 0x0a010000 + i, loPort: 80, hiPort: 10000 + i, proto: 6 });

const flow = (fields: Partial<Ct4Entry>): Uint8Array =>
	Ct4Entry.encode({ ...Ct4Entry.decode(new Uint8Array(Ct4Entry.size)), ...fields });

describe('start and restart', () => {
	it('makes all maps, attaches everything, and a second start swaps programs inside the same links', async () => {
		await open();
		expect(pins()).toEqual(finalPins);
		expect(links()).toEqual([]);
		const first = await activate();
		expect(first).toMatchObject({ replaced: 0, removed: [], failed: [], carried: [] });
		expect(first.attached).toBe(links().length);
		expect(links()).toEqual(expect.arrayContaining(['pod_a_in', 'pod_a_out', `uplink_${UPLINK}_in`]));
		expect(links().filter((link) => /^cgroup_\d+_(connect|sendmsg|recvmsg|getpeername)[46]$/.test(link))).toHaveLength(
			8,
		);
		const [link, map] = [
			await agent.call<{ id: number; programId: number }>('link', join(linksDir, 'pod_a_in')),
			await mapId('fl_ct4_1'),
		];
		await open({ settings: { podMtu: 1400 } });
		expect(await activate()).toMatchObject({ attached: 0, replaced: first.attached, removed: [], carried: [] });
		const again = await agent.call<{ id: number; programId: number }>('link', join(linksDir, 'pod_a_in'));
		expect(again.id).toBe(link.id);
		expect(again.programId).not.toBe(link.programId);
		expect(await mapId('fl_ct4_1')).toBe(map);
	});

	it('tells the programs that flows may have masquerade ports outside of the range, from the first start without them on', async () => {
		const startWith = async (snatPortMin: number, snatPortMax: number): Promise<number> => {
			await open({ settings: { snatPortMin, snatPortMax } });
			await activate();
			return RuntimeState.decode(await agent.call('get', 'runtime', new Uint8Array(4))).formerPorts;
		};
		expect(await startWith(20_000, 21_000)).toBe(0);
		expect(await startWith(20_000, 21_000)).toBe(0);
		expect(await startWith(20_000, 22_000)).toBe(0);
		expect(await startWith(20_000, 21_999)).toBe(1);
		expect(await startWith(20_000, 22_000)).toBe(1);
	});

	it('leaves rows where the next agent reads them before it opens anything', async () => {
		const key = new Uint8Array(4).with(0, 1);
		const row = Uplink.encode({ ifindex: 3, mtu: 1500, addr4: new Uint8Array(16), addr6: new Uint8Array(16).fill(7) });
		expect(await agent.call('readPinned', mapsDir, 'uplinks', key)).toBeUndefined();
		await open();
		await agent.call('set', 'uplinks', key, row);
		await agent.call('close');
		expect(await agent.call('readPinned', mapsDir, 'uplinks', key)).toEqual(row);
	});

	it('takes accepted programs from their pins while objects, constants and maps are the same', async () => {
		const programsDir = join(bpffsDir, 'programs');
		const programOf = async (link: string): Promise<number> =>
			(await agent.call<{ programId: number }>('link', join(linksDir, link))).programId;
		await open();
		await activate();
		const [program, kept] = [await programOf('pod_a_in'), readdirSync(programsDir).sort()];
		expect(kept).toHaveLength(3);
		await open();
		await activate();
		expect(await programOf('pod_a_in')).toBe(program);
		expect(readdirSync(programsDir).sort()).toEqual(kept);
		rmSync(join(mapsDir, 'fl_nodes_1'));
		await open();
		await activate();
		expect(await programOf('pod_a_in')).not.toBe(program);
		expect(readdirSync(programsDir).filter((key) => kept.includes(key))).toEqual([]);
	});

	it('loads programs again when a pin of one is not a program', async () => {
		await open();
		await activate();
		const [key] = readdirSync(join(bpffsDir, 'programs'));
		const directory = join(bpffsDir, 'programs', key!);
		const [name] = readdirSync(directory);
		rmSync(join(directory, name!));
		mkdirSync(join(directory, name!));
		await open();
		expect(await activate()).toMatchObject({ attached: 0, failed: [] });
	});

	it('ends attachments that are no longer wanted and reports endpoints whose device is gone', async () => {
		await open();
		await activate({
			uplinks: [UPLINK],
			endpoints: [
				{ ifindex: POD, pinName: 'a' },
				{ ifindex: PEER, pinName: 'b' },
			],
		});
		await agent.call('ip', ['link', 'del', 'v4']);
		await open({ settings: { sockLb: 0 } });
		const report = await activate({ uplinks: [UPLINK], endpoints: [{ ifindex: POD, pinName: 'a' }] });
		expect(report.failed.map((each) => each.name)).toEqual(['pod_a_out', 'pod_a_in']);
		expect(report.failed[0]!.message).toMatch(/cannot attach to_pod as pod_a_out: .*ENODEV/);
		expect(report.removed).toEqual(expect.arrayContaining(['pod_b_in', 'pod_b_out']));
		expect(links().filter((link) => !link.startsWith('uplink_'))).toEqual([]);
	});

	it('serves further uplinks by tc alone, and is none the worse when one is gone', async () => {
		await open({ xdp: true, settings: { sockLb: 0 } });
		const uplinks = [UPLINK, POD, 999];
		const report = await activate({ uplinks, endpoints: [], xdp: 'generic' });
		expect(report.failed.map((each) => each.name)).toEqual(['uplink_999_in', 'uplink_999_out']);
		const further = [`uplink_${POD}_in`, `uplink_${POD}_out`];
		const first = [`uplink_${UPLINK}_in`, `uplink_${UPLINK}_out`, `uplink_${UPLINK}_xdp`];
		expect(links()).toEqual([...first, ...further].sort());
		expect((await activate({ uplinks: [UPLINK], endpoints: [], xdp: 'generic' })).removed).toEqual(
			expect.arrayContaining(further),
		);
		expect(links()).toEqual(first.sort());
		await expect(activate({ uplinks: [999, UPLINK], endpoints: [] })).rejects.toThrow(/cannot attach/);
	});

	it('attaches and detaches single endpoints, whatever is attached already', async () => {
		await open();
		await activate({ uplinks: [UPLINK], endpoints: [] });
		await agent.call('attachEndpoint', POD, 'a');
		await agent.call('attachEndpoint', POD, 'a');
		expect(links()).toContain('pod_a_in');
		expect(await agent.call('detachEndpoint', 'a')).toBe(true);
		expect(await agent.call('detachEndpoint', 'a')).toBe(false);
		expect(links().join()).not.toMatch(/pod_/);
		await expect(agent.call('attachEndpoint', POD, 'a.b')).rejects.toThrow(/not a valid name/);
		await expect(agent.call('attachEndpoint', 999, 'a')).rejects.toThrow(/cannot attach/);
	});

	it('gives an endpoint that is being attached the programs of a reload, and no activation ends it', async () => {
		const programOf = async (link: string): Promise<number> =>
			(await agent.call<{ programId: number }>('link', join(linksDir, link))).programId;
		const others = { uplinks: [UPLINK], endpoints: [] };
		await open();
		await activate(others);
		await agent.call('holdAttach');
		const attached = agent.call('attachEndpoint', POD, 'a');
		await agent.call('reload', { podMtu: 1400 });
		await activate(others);
		await agent.call('letAttach');
		await attached;
		expect(await activate(others)).toMatchObject({ removed: [] });
		await agent.call('attachEndpoint', PEER, 'b');
		for (const way of ['in', 'out']) expect(await programOf(`pod_a_${way}`)).toBe(await programOf(`pod_b_${way}`));
		await agent.call('detachEndpoint', 'a');
		expect(links().join()).not.toMatch(/pod_a/);
	});

	it('shortens grace periods only while it attaches, and ends that after an agent that was killed meanwhile', async () => {
		const [switchPath, markerPath] = [join(scratch, 'rcu_expedited'), join(scratch, 'marker')];
		writeFileSync(switchPath, '0');
		const gracePeriods = { switchPath, markerPath, bootId: 'boot' };
		const state = () => [readFileSync(switchPath, 'utf8'), readFileSync(markerPath, 'utf8')];
		await open({ gracePeriods });
		await activate({ uplinks: [UPLINK], endpoints: [] });
		await agent.call('attachEndpoint', POD, 'a');
		expect(state()).toEqual(['0', '']);
		await agent.call('dieAt', 'while an endpoint is being attached');
		await expect(agent.call('attachEndpoint', PEER, 'b')).rejects.toThrow(/ended: SIGKILL/);
		expect(state()).toEqual(['1', 'boot']);
		agent.restart();
		await open({ gracePeriods });
		expect(state()).toEqual(['0', '']);
		await activate({ uplinks: [UPLINK], endpoints: [{ ifindex: POD, pinName: 'a' }] });
		expect(links().join()).not.toMatch(/pod_b/);
	});

	it('leaves nothing attached when one of the two ways of an endpoint cannot be', async () => {
		await open();
		await activate({ uplinks: [UPLINK], endpoints: [] });
		mkdirSync(join(linksDir, 'pod_a_in'));
		await expect(agent.call('attachEndpoint', POD, 'a')).rejects.toThrow(/cannot attach from_pod as pod_a_in/);
		rmSync(join(linksDir, 'pod_a_in'), { recursive: true });
		await agent.call('detachEndpoint', 'a');
		expect(links().join()).not.toMatch(/pod_/);
	});

	it('loads programs with other constants into the links that exist, and that of XDP when it is needed', async () => {
		await open({ xdp: 'later' });
		await activate();
		const before = await agent.call<{ id: number; programId: number }>('link', join(linksDir, 'pod_a_in'));
		await agent.call('reload', { podMtu: 1400 });
		const after = await agent.call<{ id: number; programId: number }>('link', join(linksDir, 'pod_a_in'));
		expect(after.id).toBe(before.id);
		expect(after.programId).not.toBe(before.programId);
		expect(readdirSync(join(bpffsDir, 'programs'))).toHaveLength(3);
		const withXdp = { ...attachments, xdp: 'generic' };
		await activate(withXdp);
		expect(links().join()).not.toMatch(/xdp/);
		await agent.call('needXdp');
		expect(readdirSync(join(bpffsDir, 'programs'))).toHaveLength(4);
		expect(await activate(withXdp)).toMatchObject({ attached: 1, failed: [] });
		expect(links()).toContain(`uplink_${UPLINK}_xdp`);
	});
});

describe('clsact, for kernels without tcx', () => {
	it('attaches, remembers and replaces filters, and gives way to tcx without leaving two', async () => {
		await open({ tc: 'clsact' });
		await activate();
		const first = await agent.call('clsact', POD, 'ingress');
		expect(first).toBeGreaterThan(0);
		expect(links()).toContain(`pod_a_in__clsact_${POD}_ingress`);
		await open({ tc: 'clsact', settings: { podMtu: 1400 } });
		expect(await activate()).toMatchObject({ attached: 0 });
		expect(await agent.call('clsact', POD, 'ingress')).not.toBe(first);
		await open();
		await activate();
		expect(await agent.call('clsact', POD, 'ingress')).toBeUndefined();
		expect(links().join()).not.toMatch(/clsact/);
		await open({ tc: 'clsact' });
		await activate();
		await activate({ uplinks: [UPLINK], endpoints: [] });
		expect(await agent.call('clsact', POD, 'egress')).toBeUndefined();
		expect(links().join()).not.toMatch(/pod_a/);
	});

	it('ends the filter that an agent killed on its way to tcx left beside the link', async () => {
		await open({ tc: 'clsact' });
		await activate();
		await open();
		await agent.call('dieAt', 'before a clsact filter goes');
		await expect(activate()).rejects.toThrow(/ended: SIGKILL/);
		agent.restart();
		await open();
		await activate();
		expect(links().join()).not.toMatch(/clsact/);
		for (const where of ['ingress', 'egress']) expect(await agent.call('clsact', POD, where)).toBeUndefined();
	});
});

describe('hooks', () => {
	it.each(['auto', 'clsact'] as const)('are looked at and repaired (%s)', async (tc) => {
		await agent.call('attachForeign', other, UPLINK, 'ingress');
		await open({ tc });
		await activate();
		const look = (): Promise<HookState[]> => agent.call('inspect', tc === 'auto');
		const uplink = async () => (await look()).find(({ name: each }) => each === `uplink_${UPLINK}_in`);
		expect(new Set((await look()).map(({ state }) => state))).toEqual(new Set(['attached']));
		const what = expect.stringMatching(/^program fill \(id \d+\)$/) as string;
		expect((await uplink())?.foreign).toEqual([{ what, position: 'before' }]);
		expect((await look()).filter(({ foreign }) => foreign.length > 0)).toHaveLength(1);
		if (tc === 'auto') await agent.call('detachLink', join(linksDir, `uplink_${UPLINK}_in`));
		else await agent.call('detachClsact', UPLINK, 'ingress');
		expect(await uplink()).toMatchObject({ state: 'lost', foreign: [{ what, position: 'only' }] });
		expect(await agent.call('repair', `uplink_${UPLINK}_in`)).toBe(true);
		expect(await uplink()).toMatchObject({ state: 'attached', foreign: [{ position: 'before' }] });
		expect(await agent.call('repair', 'uplink_99_in')).toBe(false);
		await agent.call('ip', ['link', 'del', 'v4']);
		expect((await look()).filter(({ state }) => state === 'gone').map(({ name: each }) => each)).toEqual([
			'pod_a_out',
			'pod_a_in',
		]);
	});

	it.each(['auto', 'clsact'] as const)('of a pod are asked for one by one (%s)', async (tc) => {
		await open({ tc });
		await activate({ uplinks: [UPLINK], endpoints: [] });
		const missing = (ifindex: number): Promise<string[]> => agent.call('missingAt', ifindex);
		expect(await missing(POD)).toEqual(['to_pod', 'from_pod']);
		await agent.call('attachEndpoint', POD, 'a');
		expect(await missing(POD)).toEqual([]);
		await agent.call('reload', { podMtu: 1400 });
		expect(await missing(POD)).toEqual([]);
		if (tc === 'auto') await agent.call('detachLink', join(linksDir, 'pod_a_in'));
		else await agent.call('detachClsact', POD, 'ingress');
		expect(await missing(POD)).toEqual(['from_pod']);
		await agent.call('attachForeign', other, POD, 'ingress');
		expect(await missing(POD)).toEqual(['from_pod']);
		await agent.call('ip', ['link', 'del', 'v4']);
		expect(await missing(POD)).toEqual(['to_pod', 'from_pod']);
	});
});

describe('upgrade and rollback', () => {
	it.each([
		['the same name', 'fl_ct4_1'],
		['a later version', 'fl_ct4_2'],
	])('carries live flows over from another layout with %s', async (_what, pin) => {
		mkdirSync(mapsDir, { recursive: true });
		await agent.call('pinOther', other, { old_ct4: pin }, mapsDir);
		const old = await mapId(pin);
		await open();
		expect(await mapId(pin)).toBe(old);
		expect(pins()).toContain('fl_ct4_1_next');
		const report = await activate();
		expect(report.carried).toMatchObject([
			{ map: 'ct4', from: pin, copied: FLOWS, lost: 0, dropped: ['ct4 value.forgotten'] },
		]);
		expect(pins()).toEqual(finalPins);
		expect(await mapId('fl_ct4_1')).not.toBe(old);
		const { programId } = await agent.call<{ programId: number }>('link', join(linksDir, 'pod_a_in'));
		const shown = execFileSync('bpftool', ['-j', 'prog', 'show', 'id', `${programId}`], { encoding: 'utf8' });
		const { map_ids: used } = JSON.parse(shown) as { map_ids: number[] };
		expect(used).toContain(await mapId('fl_ct4_1'));
		expect(used, 'programs hold the old map').not.toContain(old);
		expect(Ct4Entry.decode((await agent.call<Uint8Array>('get', 'ct4', flowKey(7)))!)).toMatchObject({ created: 1007 });
		expect(RuntimeState.decode(await agent.call<Uint8Array>('get', 'runtime', new Uint8Array(4)))).toMatchObject({
			migrating: 0,
		});
		await open();
		expect(await activate()).toMatchObject({ carried: [] });
		expect(await agent.call('count', 'ct4')).toBe(FLOWS);
	});

	it('goes on after a kill between open and activate', async () => {
		mkdirSync(mapsDir, { recursive: true });
		await agent.call('pinOther', other, { old_ct4: 'fl_ct4_1' }, mapsDir);
		await open();
		const next = await mapId('fl_ct4_1_next');
		await open();
		expect(await mapId('fl_ct4_1_next')).toBe(next);
		expect((await activate()).carried).toMatchObject([{ from: 'fl_ct4_1', copied: FLOWS }]);
		expect(pins()).toEqual(finalPins);
		expect(await mapId('fl_ct4_1')).toBe(next);
	});

	it('takes back the flows of an upgrade that was killed half way', async () => {
		await open();
		await activate();
		const own = Ct4Entry.encode({ ...Ct4Entry.decode(new Uint8Array(Ct4Entry.size)), backend: 5, created: 5000 });
		await agent.call('set', 'ct4', flowKey(3), own);
		const id = await mapId('fl_ct4_1');
		await agent.call('pinOther', other, { old_ct4: 'fl_ct4_2_next' }, mapsDir);
		await open();
		expect((await activate()).carried).toMatchObject([{ from: 'fl_ct4_2_next', copied: FLOWS - 1, lost: 0 }]);
		expect(pins()).toEqual(finalPins);
		expect(await mapId('fl_ct4_1')).toBe(id);
		expect(await agent.call('get', 'ct4', flowKey(3))).toEqual(own);
	});

	it.each([
		['in the first copy', 'goes on', RESIZED, 'fl_ct4_1', 'fl_ct4_1'],
		['before the first link', 'goes on', RESIZED, 'fl_ct4_1', 'fl_ct4_1'],
		['amid the links', 'goes on', RESIZED, 'fl_ct4_1', 'fl_ct4_1_next'],
		['amid the links', 'goes back', {}, 'fl_ct4_1_next', 'fl_ct4_1'],
		['after the second copy', 'goes back', {}, 'fl_ct4_1_next', 'fl_ct4_1_next'],
		['amid the pins', 'goes on', RESIZED, 'fl_ct4_1', 'fl_ct4_1'],
		['amid the pins', 'goes back', {}, 'fl_ct4_1', 'fl_ct4_1'],
	] as const)('loses no flow to a kill %s when the next agent %s', async (point, _what, mapSizes, again, fresh) => {
		await open();
		await activate();
		await agent.call('set', 'ct4', flowKey(1), flow({ created: 100, backend: 1 }));
		await agent.call('set', 'ct4', flowKey(2), flow({ created: 100, backend: 1 }));
		const attached = links();
		await open({ mapSizes: RESIZED });
		await agent.call('dieAt', point);
		await expect(activate()).rejects.toThrow(/ended: SIGKILL/);
		agent.restart();
		// While there is no agent, programs write to the maps they know: ports are used again, and a flow appears.
		await agent.call('setPinned', join(mapsDir, again), flowKey(2), flow({ created: 200, backend: 2 }));
		await agent.call('setPinned', join(mapsDir, fresh), flowKey(3), flow({ created: 200, backend: 3 }));
		await open({ mapSizes });
		expect(await activate()).toMatchObject({ attached: 0, removed: [], failed: [] });
		const found = [1, 2, 3].map((i) => agent.call<Uint8Array>('get', 'ct4', flowKey(i)));
		expect((await Promise.all(found)).map((entry) => Ct4Entry.decode(entry).backend)).toEqual([1, 2, 3]);
		expect(pins()).toEqual(finalPins);
		expect(links()).toEqual(attached);
		expect(RuntimeState.decode(await agent.call('get', 'runtime', new Uint8Array(4)))).toMatchObject({ migrating: 0 });
	});

	it('keeps flows when configuration changes the size of their table', async () => {
		await open();
		await activate();
		const entry = Ct4Entry.encode({ ...Ct4Entry.decode(new Uint8Array(Ct4Entry.size)), backend: 5 });
		await agent.call('set', 'ct4', flowKey(1), entry);
		await open({ mapSizes: { ct4: 8192 } });
		expect((await activate()).carried).toMatchObject([{ map: 'ct4', copied: 1, dropped: [], added: [] }]);
		expect(await agent.call('get', 'ct4', flowKey(1))).toEqual(entry);
	});

	it('replaces tables that refer to each other together, with their rows, before links are swapped', async () => {
		await open();
		await activate();
		const key = SvcKey.encode({ addr: new Uint8Array(16), port: 443, proto: 6, scope: 0 });
		const entry = SvcEntry.encode({ ...SvcEntry.decode(new Uint8Array(SvcEntry.size)), id: 77 });
		const slot = Uint8Array.from({ length: 64 }, (_, i) => i);
		await agent.call('set', 'services', key, entry);
		await agent.call('set', 'slots', Uint8Array.of(3, 0, 0, 0), slot);
		const slots = await mapId('fl_slots_1');
		const copied = await open({ mapSizes: { services: 8192 } });
		expect(copied.map((report) => report.map).sort()).toEqual([
			'backends',
			'conns',
			'services',
			'slots',
			'sources',
			'vip_filter',
			'xdp_svc',
		]);
		expect(await agent.call('get', 'services', key)).toEqual(entry);
		expect(await agent.call('get', 'slots', Uint8Array.of(3, 0, 0, 0))).toEqual(slot);
		expect(await mapId('fl_slots_1')).toBe(slots);
		await activate();
		expect(await mapId('fl_slots_1')).not.toBe(slots);
		expect(pins()).toEqual(finalPins);
	});

	it('refuses flows it cannot carry over and leaves everything as it was', async () => {
		mkdirSync(mapsDir, { recursive: true });
		await agent.call('pinForeign', join(mapsDir, 'fl_ct4_1'));
		await expect(open()).rejects.toThrow(/map fl_ct4_1: cannot carry its entries over/);
		expect(pins()).toEqual(['fl_ct4_1']);
	});

	it('gives every descriptor back', async () => {
		await open();
		await activate();
		await open({ mapSizes: { services: 8192, ct4: 8192 } });
		await activate();
		expect(await agent.call('openBpf')).not.toEqual([]);
		await agent.call('close');
		expect(await agent.call('openBpf')).toEqual([]);
	});
});

describe('masquerade ports of a former version', () => {
	it('become entries for replies, and their table goes when programs have been swapped', async () => {
		await open();
		await activate();
		const own = Ct4Key.encode({ lo: 0xc0000201, hi: 0xcb007109, loPort: 50_000, hiPort: 443, proto: 6 });
		const pod = Ct4Key.encode({ lo: 0x0af40105, hi: 0xcb007109, loPort: 4000, hiPort: 443, proto: 6 });
		await agent.call('set', 'ct4', pod, flow({ flags: CtFlags.MASQUERADE, snatPort: 50_000 }));
		const value = new Uint8Array(24);
		value.set(widenKey(Ct4Key.decode(pod)).lo);
		new DataView(value.buffer).setUint16(16, 4000);
		const rows = BpfMap.create({ type: 1, name: 'fl_nat_1', keySize: CtKey.size, valueSize: 24, maxEntries: 4 });
		try {
			rows.set(CtKey.encode(widenKey(Ct4Key.decode(own))), value);
			rows.pin(join(mapsDir, PORT_ROWS_PIN));
		} finally {
			rows.close();
		}
		await open();
		expect(pins()).toContain(PORT_ROWS_PIN);
		await activate();
		expect(pins()).toEqual(finalPins);
		const reply = await agent.call<Uint8Array | undefined>('get', 'ct4', own);
		expect(reply && Ct4Entry.decode(reply)).toMatchObject({
			flags: CtFlags.MASQUERADE | CtFlags.SVC_REPLY,
			snatPort: 4000,
			xlateAddr: 0xcb007109,
		});
	});
});
