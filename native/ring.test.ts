import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BpfMap, BpfObject, type BpfProgram, RingBuffer } from './index.ts';
import {
	compileFixture,
	frame,
	openBpfFds,
	openFds,
	readU32,
	removeScratch,
	runChild,
	skb,
	until,
} from './testdata/harness.ts';

let path = '';
beforeAll(() => {
	path = compileFixture('basic');
});
afterAll(removeScratch);

let object: BpfObject;
let emit: BpfProgram;
const rings: RingBuffer[] = [];
beforeEach(async () => {
	object = BpfObject.open(path);
	await object.load();
	emit = object.program('emit');
});
afterEach(() => {
	for (const ring of rings.splice(0)) ring.close();
	object.close();
});

/** Submits `count` records; each starts with 0, 1, 2 … */
function submit(count: number, o: { quietly?: boolean } = {}): void {
	const result = emit.testRun({ data: frame(), ctx: skb({ 2: count, 8: o.quietly ? 1 : 0 }) });
	if (result.retval !== 0) throw new Error("the kernel's buffer is full");
}

function listen(onRecords: (records: Uint8Array[]) => void, o?: { pollMs?: number; maxQueued?: number }): RingBuffer {
	const ring = new RingBuffer(object.map('events'), onRecords, o);
	rings.push(ring);
	return ring;
}

describe('records', () => {
	it('arrive complete and in order', async () => {
		const got: Uint8Array[] = [];
		const ring = listen((records) => got.push(...records));
		submit(1000);
		submit(1000);
		await until('2000 records', () => got.length >= 2000);
		expect(got.length).toBe(2000);
		got.forEach((record, i) => {
			expect(record.length).toBe(12);
			expect(readU32(record)).toBe(i % 1000);
			expect(readU32(record, 4)).toBe(~(i % 1000) >>> 0);
			expect(readU32(record, 8)).toBe(0xfa171ead);
		});
		expect(ring.lost).toBe(0n);
	});

	it('arrive within the poll time when the producer wakes nobody', async () => {
		let got = 0;
		listen((records) => (got += records.length), { pollMs: 20 });
		await new Promise((resolve) => setTimeout(resolve, 50));
		submit(3, { quietly: true });
		await until('3 records', () => got === 3, 1000);
	});

	it('stay valid and belong to the receiver', async () => {
		const kept: Uint8Array[] = [];
		listen((records) => kept.push(...records));
		submit(1);
		await until('the first record', () => kept.length === 1);
		kept[0]?.fill(9);
		submit(4000);
		await until('the rest', () => kept.length === 4001);
		expect(kept[0]).toEqual(new Uint8Array(12).fill(9));
		expect(readU32(kept[1] ?? new Uint8Array(4))).toBe(0);
	});
});

describe('a slow reader', () => {
	it('loses what is over the bound, counted, and gets the rest', async () => {
		let got = 0;
		const ring = listen((records) => (got += records.length), { maxQueued: 100 });
		for (let i = 0; i < 10; i++) submit(4000);
		await until('every record is received or lost', () => BigInt(got) + ring.lost === 40_000n);
		expect(ring.lost).toBeGreaterThan(0n);
		expect(got).toBeGreaterThanOrEqual(100);
	});

	it('does not keep the event loop from other work', async () => {
		let turns = 0;
		let batches = 0;
		const turnsBetween: number[] = [];
		let last = 0;
		const tick = setInterval(() => undefined, 1000);
		const count = (): void => {
			turns += 1;
			if (batches < 20) setImmediate(count);
		};
		setImmediate(count);
		listen(
			() => {
				batches += 1;
				turnsBetween.push(turns - last);
				last = turns;
				submit(4000);
			},
			{ maxQueued: 50 },
		);
		submit(4000);
		await until('20 batches', () => batches >= 20);
		clearInterval(tick);
		expect(Math.min(...turnsBetween.slice(1, 20))).toBeGreaterThanOrEqual(1);
	});

	it('goes on after a callback that threw', async () => {
		let got = 0;
		const thrown: unknown[] = [];
		const keep = (error: unknown): void => {
			thrown.push(error);
		};
		const others = process.listeners('uncaughtException');
		process.removeAllListeners('uncaughtException');
		process.on('uncaughtException', keep);
		try {
			listen((records) => {
				got += records.length;
				if (got === 1) throw new Error('from the callback');
			});
			submit(1);
			await until('the throw', () => thrown.length === 1);
			submit(5);
			await until('the records after it', () => got === 6);
		} finally {
			process.off('uncaughtException', keep);
			for (const other of others) process.on('uncaughtException', other);
		}
		expect(String(thrown[0])).toBe('Error: from the callback');
	});
});

describe('closing', () => {
	it('is final: no callback afterwards, and nothing stays open', async () => {
		object.map('events');
		const fds = openFds();
		let got = 0;
		const ring = listen((records) => (got += records.length));
		expect(openFds()).toBeGreaterThan(fds);
		submit(500);
		ring.close();
		ring.close();
		const atClose = got;
		submit(500);
		await new Promise((resolve) => setTimeout(resolve, 50));
		expect(got).toBe(atClose);
		expect(openFds()).toBe(fds);
		expect(ring.lost).toBe(0n);
	});

	it('may happen inside the callback', async () => {
		object.map('events');
		const before = openBpfFds();
		let calls = 0;
		const ring = listen(() => {
			calls += 1;
			ring.close();
		});
		submit(10);
		await until('the callback', () => calls > 0);
		submit(10);
		await new Promise((resolve) => setTimeout(resolve, 30));
		expect(calls).toBe(1);
		expect(openBpfFds()).toBe(before);
	});

	it('of the map or object does not disturb the reader', async () => {
		let got = 0;
		const other = BpfMap.openById(object.map('events').info.id);
		const ring = new RingBuffer(other, (records) => (got += records.length));
		rings.push(ring);
		other.close();
		submit(5);
		await until('5 records', () => got === 5);
	});

	it('is not needed at process.exit, and an open reader keeps the process alive until then', () => {
		const run = runChild(
			async (n, { path }: { path: string }) => {
				const o = n.BpfObject.open(path);
				await o.load();
				new n.RingBuffer(o.map('events'), () => undefined);
				setTimeout(() => process.exit(3), 100).unref();
			},
			{ path },
		);
		expect(run).toEqual({ status: 3, signal: null, stdout: '', stderr: '' });
	});
});

describe('arguments', () => {
	it('are checked', () => {
		const events = object.map('events');
		const nothing = (): void => undefined;
		expect(() => new RingBuffer(object.map('counts'), nothing)).toThrow('map: counts is no ring buffer');
		expect(() => new RingBuffer(events, nothing, { pollMs: 0 })).toThrow('pollMs: expected 1 to 60000');
		expect(() => new RingBuffer(events, nothing, { maxQueued: 0 })).toThrow('maxQueued: expected 1 or more');
	});
});
