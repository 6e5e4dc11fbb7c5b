import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Attachment } from './attachment.ts';
import { FileLedger } from './ledger.ts';

let dir: string;
let ledger: FileLedger;

beforeEach(async () => {
	dir = join(mkdtempSync(join(tmpdir(), 'fl-ledger-')), 'attachments');
	ledger = await FileLedger.open(dir);
});

afterEach(async () => {
	await ledger.close();
	rmSync(join(dir, '..'), { recursive: true, force: true });
});

const attachment = (containerId: string, more: Partial<Attachment> = {}): Attachment => ({
	version: 1,
	containerId,
	ifname: 'eth0',
	network: 'fairlead',
	mode: 'veth',
	bootId: 'b',
	netns: { path: '/run/netns/x', dev: 4, ino: 4026532000 },
	pod: { namespace: 'default', name: 'web', uid: 'u' },
	index: 1,
	gen: 1,
	addresses: ['10.1.0.5', 'fd00::5'],
	mac: '02:00:00:00:00:01',
	hostMac: '02:00:00:00:00:02',
	hostIfname: 'fl0123456789a',
	mtu: 1450,
	hostPorts: [{ hostAddress: null, hostPort: 80, protocol: 'TCP', podPort: 8080 }],
	createdAtMs: 1,
	...more,
});

describe('the ledger', () => {
	it('gives back what was written, from private files', async () => {
		await ledger.write(attachment('a'));
		await ledger.write(attachment('b', { pod: null, addresses: ['10.1.0.6'] }));
		const { live, released, problems } = await ledger.load();
		expect([...live].sort((x, y) => (x.containerId < y.containerId ? -1 : 1))).toEqual([
			attachment('a'),
			attachment('b', { pod: null, addresses: ['10.1.0.6'] }),
		]);
		expect([released, problems]).toEqual([[], []]);
		expect(statSync(dir).mode & 0o777).toBe(0o700);
		for (const name of readdirSync(dir)) expect(statSync(join(dir, name)).mode & 0o777).toBe(0o600);
	});

	it('keeps addresses of a released record until it is forgotten', async () => {
		await ledger.write(attachment('a'));
		const record = await ledger.release(attachment('a'), 1234.5);
		expect(record).toMatchObject({ addresses: ['10.1.0.5', 'fd00::5'], releasedAtMs: 1234.5 });
		const again = await ledger.load();
		expect(again.live).toEqual([]);
		expect(again.released).toEqual([{ ...record, releasedAtMs: 1234 }]);
		await ledger.forget(record);
		expect(readdirSync(dir)).toEqual([]);
	});

	it('releases an attachment whose record somebody has removed, as a second try does', async () => {
		await ledger.write(attachment('a'));
		const first = await ledger.release(attachment('a'), 1);
		expect(await ledger.release(attachment('a'), 2)).toMatchObject({ addresses: first.addresses, releasedAtMs: 2 });
		await ledger.write(attachment('b'));
		rmSync(dir, { recursive: true });
		expect((await ledger.release(attachment('b'), 3)).addresses).toEqual(['10.1.0.5', 'fd00::5']);
	});

	it('keeps no addresses that were not ours', async () => {
		const chained = attachment('a', { mode: 'chained' });
		await ledger.write(chained);
		expect((await ledger.release(chained, 1)).addresses).toEqual([]);
	});

	it('removes what a crash left half written and moves aside what it cannot read', async () => {
		await ledger.write(attachment('a'));
		const file = readdirSync(dir)[0] ?? '';
		writeFileSync(join(dir, `${file}.1-1.tmp`), '{');
		writeFileSync(join(dir, 'torn.json'), '');
		writeFileSync(join(dir, 'other.json'), JSON.stringify({ ...attachment('b'), index: 0 }));
		const { live, problems } = await ledger.load();
		expect(live).toHaveLength(1);
		expect(problems.map((problem) => problem.code)).toEqual(['LEDGER_INVALID', 'LEDGER_INVALID']);
		expect(problems[0]?.message).toContain('index');
		expect(readdirSync(dir).sort()).toEqual([file, 'other.json.bad', 'torn.json.bad'].sort());
	});

	it('serves many writers at once', async () => {
		const all = Array.from({ length: 50 }, (_, i) => attachment(`c${i}`));
		await Promise.all(all.map((each) => ledger.write(each)));
		await Promise.all(all.slice(0, 25).map((each) => ledger.release(each, 5)));
		const { live, released } = await ledger.load();
		expect([live.length, released.length]).toEqual([25, 25]);
	});

	it('says what could not be written where and why', async () => {
		rmSync(dir, { recursive: true });
		await expect(ledger.write(attachment('a'))).rejects.toMatchObject({
			code: 'LEDGER_WRITE',
			message: expect.stringMatching(
				/^cannot write attachment record of default\/web at .*\.json: cannot make file .*\(ENOENT\)/,
			),
		});
		writeFileSync(dir, 'no directory');
		await expect(ledger.release(attachment('a'), 1)).rejects.toMatchObject({
			code: 'LEDGER_WRITE',
			message: expect.stringMatching(/^cannot release attachment record of default\/web at .*\.json: ENOTDIR/),
		});
	});

	it('writes a record that people can read', async () => {
		await ledger.write(attachment('a'));
		const text = readFileSync(join(dir, readdirSync(dir)[0] ?? ''), 'utf8');
		expect(JSON.parse(text)).toEqual(attachment('a'));
	});
});
