import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Ct4Entry, Ct4Key, CtFlags, SvcEntry, SvcKey } from '../../native/abi/generated.ts';
import { type BpfMap, BpfMap as BpfMaps, BpfObject } from '../../native/index.ts';
import { BPF_OUTPUT, buildPrograms, compileBpf } from '../../scripts/build-bpf.ts';
import { CarryOver, copyTable } from './carry-over.ts';

const FLOWS = 1000;
const PACKET = new Uint8Array(64);
let directory: string;
let otherPath: string;
let other: BpfObject;
let ours: BpfObject;

beforeAll(async () => {
	directory = mkdtempSync(join(tmpdir(), 'fairlead-carry-'));
	otherPath = join(directory, 'other.bpf.o');
	await compileBpf({ source: join(import.meta.dirname, 'testdata/other-version.bpf.c'), output: otherPath });
	await buildPrograms();
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

beforeEach(async () => {
	other = BpfObject.open(otherPath);
	await other.load();
	expect(other.program('fill').testRun({ data: PACKET }).retval).toBe(FLOWS);
	ours = BpfObject.open(join(BPF_OUTPUT, 'sock_lb.bpf.o'));
	ours.setMaxEntries('fl_ct4_1', 4096);
	ours.setMaxEntries('fl_slots_1', 1024);
	await ours.load();
});
afterEach(() => {
	other.close();
	ours.close();
});

const target = (): BpfMap => ours.map('fl_ct4_1');
const carry = (): CarryOver => new CarryOver('ct4', { map: other.map('old_ct4'), pin: 'old' }, target());
const key = (i: number): Uint8Array =>
	Ct4Key.encode({ lo: 0x0a000001, hi: 0x0a010000 + i, loPort: 80, hiPort: 10000 + i, proto: 6 });
const entry = (i: number) => {
	const bytes = target().get(key(i));
	return bytes === undefined ? undefined : Ct4Entry.decode(bytes);
};

describe('carrying live flows into another layout', () => {
	it('copies every entry, field by field, whatever the order and width', async () => {
		const run = carry();
		await run.firstPass(true);
		expect(run.report()).toMatchObject({ copied: FLOWS, merged: 0, lost: 0, from: 'old' });
		expect(entry(5)).toMatchObject({
			xlateAddr: 0x5a5a5a5a,
			xlatePort: 8080,
			flags: CtFlags.INITIATOR_IS_HI,
			lastSeen: 5000,
			created: 1005,
			packets: [5, 2],
			peer: [
				{ index: 5, gen: 0, kind: 0 },
				{ index: 0, gen: 0, kind: 5 },
			],
			backend: 0,
		});
	});

	it('says which fields are lost and which begin at zero', async () => {
		const report = carry().report();
		expect(report.dropped).toEqual(['ct4 value.forgotten']);
		expect(report.added).toContain('ct4 value.backend');
		expect(report.added.join()).not.toMatch(/pad/);
	});

	it('takes over what the old programs did between the two copies', async () => {
		const run = carry();
		await run.firstPass(true);
		other.program('go_on').testRun({ data: PACKET });
		expect(entry(FLOWS)).toBeUndefined();
		await run.secondPass();
		expect(entry(FLOWS)).toMatchObject({ lastSeen: 6000, created: 1000 + FLOWS });
		expect(entry(0)).toMatchObject({ flags: CtFlags.INITIATOR_IS_HI | CtFlags.ESTABLISHED, lastSeen: 6000 });
		expect(run.report()).toMatchObject({ copied: FLOWS + 1, merged: 1, lost: 1 });
	});

	it('keeps what the new programs have made of a flow meanwhile', async () => {
		const run = carry();
		await run.firstPass(true);
		const known = entry(0)!;
		target().set(
			key(0),
			Ct4Entry.encode({ ...known, flags: known.flags | CtFlags.CLOSING, lastSeen: 7000, backend: 42 }),
		);
		const replaced = { ...known, created: 9999, flags: 0 };
		target().set(key(FLOWS), Ct4Entry.encode(replaced));
		other.program('go_on').testRun({ data: PACKET });
		await run.secondPass();
		const flags = CtFlags.INITIATOR_IS_HI | CtFlags.CLOSING | CtFlags.ESTABLISHED;
		expect(entry(0)).toMatchObject({ flags, lastSeen: 7000, backend: 42 });
		expect(entry(FLOWS)).toEqual(replaced);
	});

	it('takes the later of two connections that used the same ports', async () => {
		const run = carry();
		await run.firstPass(true);
		target().set(
			key(0),
			Ct4Entry.encode({ ...entry(0)!, created: 900, lastSeen: 6500, flags: CtFlags.CLOSING, backend: 42 }),
		);
		other.program('go_on').testRun({ data: PACKET });
		await run.secondPass();
		const flags = CtFlags.INITIATOR_IS_HI | CtFlags.ESTABLISHED;
		expect(entry(0)).toMatchObject({ created: 1000, lastSeen: 6000, flags, backend: 0 });
	});

	it('takes the counts of the entry that was seen last', async () => {
		const run = carry();
		await run.firstPass(true);
		target().set(key(0), Ct4Entry.encode({ ...entry(0)!, packets: [9, 9], lastSeen: 5500, backend: 42 }));
		target().set(key(FLOWS), Ct4Entry.encode({ ...entry(1)!, created: 1000 + FLOWS, packets: [9, 9], lastSeen: 6500 }));
		other.program('go_on').testRun({ data: PACKET });
		await run.secondPass();
		expect(entry(0)).toMatchObject({ packets: [0, 2], lastSeen: 6000, backend: 0 });
		expect(entry(FLOWS)).toMatchObject({ packets: [9, 9], lastSeen: 6500 });
	});

	it('fills up a map that an interrupted run has begun', async () => {
		await carry().firstPass(true);
		target().delete(key(3));
		const changed = { ...entry(4)!, backend: 9 };
		target().set(key(4), Ct4Entry.encode(changed));
		const again = carry();
		await again.firstPass(false);
		expect(entry(3)).toMatchObject({ created: 1003 });
		expect(entry(4)).toEqual(changed);
		expect(again.report()).toMatchObject({ copied: 1, merged: 0, lost: 0 });
	});

	it('fills an array of fewer entries to its end, and asks no more', async () => {
		const larger = BpfObject.open(join(BPF_OUTPUT, 'sock_lb.bpf.o'));
		try {
			larger.setMaxEntries('fl_slots_1', 3 * ours.map('fl_slots_1').info.maxEntries);
			await larger.load();
			const slots = ours.map('fl_slots_1');
			const batches = vi.spyOn(slots, 'updateBatch');
			const report = await copyTable('slots', { map: larger.map('fl_slots_1'), pin: 'old' }, slots);
			expect(report).toMatchObject({ copied: slots.info.maxEntries, lost: 0 });
			expect(batches).toHaveBeenCalledTimes(1);
		} finally {
			larger.close();
		}
	});

	it('asks a full map for one entry at a time', async () => {
		const small = BpfObject.open(join(BPF_OUTPUT, 'sock_lb.bpf.o'));
		try {
			small.setMaxEntries('fl_ct4_1', 64);
			await small.load();
			const full = small.map('fl_ct4_1');
			const batches = vi.spyOn(full, 'updateBatch');
			const run = new CarryOver('ct4', { map: other.map('old_ct4'), pin: 'old' }, full);
			await run.firstPass(true);
			expect(run.report()).toMatchObject({ copied: 64, lost: FLOWS - 64 });
			expect(batches).toHaveBeenCalledTimes(1);
		} finally {
			small.close();
		}
	});

	it('refuses a map the kernel has no types of, naming it and the way out', () => {
		const foreign = BpfMaps.create({ type: 1, name: 'foreign', keySize: 16, valueSize: 128, maxEntries: 8 });
		try {
			expect(() => new CarryOver('ct4', { map: foreign, pin: 'fl_ct4_1' }, target())).toThrow(
				expect.objectContaining({
					code: 'MAP_LAYOUT',
					message: expect.stringMatching(
						/map fl_ct4_1: cannot carry its entries over: .*no type information.*remove the pin/,
					),
				}),
			);
		} finally {
			foreign.close();
		}
	});

	it('copies tables as a start and leaves those without common ground empty', async () => {
		const services = ours.map('fl_services_1');
		const report = await copyTable('services', { map: other.map('old_services'), pin: 'old' }, services);
		expect(report).toMatchObject({ copied: 1, lost: 0 });
		const bytes = services.get(SvcKey.encode({ addr: new Uint8Array(16), port: 443, proto: 6, scope: 0 }));
		expect(SvcEntry.decode(bytes!)).toMatchObject({ id: 77, allBase: 16, allCount: 3, flags: 8, prevCount: 0 });
		const ct6 = ours.map('fl_ct6_1');
		expect(await copyTable('ct6', { map: other.map('old_ct4'), pin: 'old' }, ct6)).toBeUndefined();
		expect(ct6.entries()).toEqual([]);
	});
});
