import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EndpointSlice } from '../../model/endpoint-slice.ts';
import { Backoff } from './backoff.ts';
import { ListItems } from './list-items.ts';
import { isNewer } from './reflector.ts';
import { ServerList } from './servers.ts';
import { readServers, serversOf, writeServers } from './told-servers.ts';
import { LineSplitter } from './watch-lines.ts';

describe('Backoff', () => {
	it('doubles up to its limit, spread by half to each side, and begins anew after a success', () => {
		const randoms = [0, 0.5, 0.999, 0.5, 0.5, 0.5];
		const backoff = new Backoff({ firstMs: 100, longestMs: 400, random: () => randoms.shift() ?? 0 });
		expect([1, 2, 3, 4, 5].map(() => Math.round(backoff.next()))).toEqual([50, 200, 600, 400, 400]);
		backoff.reset();
		expect(backoff.next()).toBe(100);
	});
});

describe('LineSplitter', () => {
	it('gives the same lines however the bytes are cut, characters of several bytes included', () => {
		const bytes = Buffer.from('{"a":"é€😀"}\n\n{"b":1}\r\n{"c":');
		for (let size = 1; size <= bytes.length; size++) {
			const splitter = new LineSplitter();
			const lines: string[] = [];
			for (let at = 0; at < bytes.length; at += size) lines.push(...splitter.push(bytes.subarray(at, at + size)));
			expect(lines).toEqual(['{"a":"é€😀"}', '{"b":1}']);
		}
	});

	it('refuses a line that cannot be an object', () => {
		const splitter = new LineSplitter();
		const chunk = Buffer.alloc(8 * 1024 * 1024, 'x');
		splitter.push(chunk);
		splitter.push(chunk);
		expect(() => splitter.push(chunk)).toThrow('longer than');
	});
});

describe('ListItems', () => {
	const read = (bytes: Buffer, size: number) => {
		const items: unknown[] = [];
		const list = new ListItems((item) => items.push(item));
		for (let at = 0; at < bytes.length; at += size) list.push(bytes.subarray(at, at + size));
		return { items, frame: list.end() };
	};
	const odd = [{ a: '],[{"é€😀\\', items: [1, { items: [2] }] }, null, 7, 'x"', [], {}];
	const lists: readonly (readonly [string, object])[] = [
		['as Kubernetes writes it', { kind: 'XList', metadata: { resourceVersion: '7', continue: 'a"b' }, items: odd }],
		['with its items first', { items: odd, metadata: { items: [1], text: '"items":[' } }],
		['without items', { metadata: { x: [[1]] }, items: [] }],
		['with null for items', { items: null, metadata: {} }],
		['that is something else', { message: 'x', codes: [1, 2] }],
	];

	it.each(lists)('gives the items of a list %s, however the bytes are cut', (_, list) => {
		const { items = [] } = list as { items?: unknown[] | null };
		const frame = { ...list, ...(items !== null && 'items' in list && { items: [] }) };
		for (const bytes of [Buffer.from(JSON.stringify(list)), Buffer.from(JSON.stringify(list, undefined, 2))]) {
			for (let size = 1; size <= bytes.length; size++) expect(read(bytes, size)).toEqual({ items: items ?? [], frame });
		}
	});

	it('refuses what is cut off or no JSON, after the items before it', () => {
		const whole = JSON.stringify({ items: [{ a: 1 }, { b: 2 }], metadata: {} });
		for (let end = 0; end < whole.length; end++) expect(() => read(Buffer.from(whole.slice(0, end)), 7)).toThrow();
		const items: unknown[] = [];
		const list = new ListItems((item) => items.push(item));
		expect(() => list.push(Buffer.from('{"items":[{"a":1},{"b":},'))).toThrow(SyntaxError);
		expect(items).toEqual([{ a: 1 }]);
		const chunk = Buffer.alloc(9 * 1024 * 1024, 'x');
		const long = new ListItems(() => undefined);
		long.push(chunk);
		expect(() => long.push(chunk)).toThrow('longer than');
	});
});

describe('ServerList', () => {
	it('stays with one address until it fails, then goes through all of them', () => {
		const servers = new ServerList(['https://a', 'https://b'], ['https://b', 'https://c']);
		expect(servers.all).toEqual([
			{ url: 'https://a', told: false },
			{ url: 'https://b', told: false },
			{ url: 'https://c', told: true },
		]);
		expect(servers.failed('https://a')).toBe(true);
		expect(servers.current?.url).toBe('https://b');
		// another request of before fails late
		expect(servers.failed('https://a')).toBe(true);
		expect(servers.current?.url).toBe('https://b');
		expect(servers.failed('https://b')).toBe(true);
		expect(servers.failed('https://c')).toBe(false);
		expect(servers.current?.url).toBe('https://a');
	});

	it('takes every address as untried after a success', () => {
		const servers = new ServerList(['https://a', 'https://b'], []);
		servers.failed('https://a');
		servers.succeeded('https://b');
		expect(servers.failed('https://b')).toBe(true);
		expect(servers.current?.url).toBe('https://a');
	});

	it('has none when none is known, and takes what it is told', () => {
		const servers = new ServerList([], []);
		expect(servers.current).toBeUndefined();
		servers.tell(['https://x']);
		expect(servers.current).toEqual({ url: 'https://x', told: true });
		expect(servers.failed('https://x')).toBe(false);
		expect(servers.current?.url).toBe('https://x');
	});
});

describe('addresses that the cluster tells', () => {
	const slice = (addresses: string[], over: { ports?: EndpointSlice['ports'] } = {}): EndpointSlice => ({
		namespace: 'default',
		name: 'kubernetes',
		service: 'kubernetes',
		headlessLabel: false,
		triggeredAtMs: 0,
		addressType: 'IPv4',
		ports: [{ name: 'https', protocol: 'TCP', port: 6443 }],
		endpoints: addresses.map((address) => ({
			address,
			ready: !address.endsWith('.9'),
			serving: true,
			terminating: false,
			node: '',
			zoneHints: [],
			nodeHints: [],
		})),
		...over,
	});

	it('are the ready endpoints of both families', () => {
		expect(serversOf([slice(['192.0.2.2', '192.0.2.1', '192.0.2.9']), slice(['2001:db8::1'])])).toEqual([
			'https://192.0.2.1:6443',
			'https://192.0.2.2:6443',
			'https://[2001:db8::1]:6443',
		]);
		expect(serversOf([slice(['192.0.2.1'], { ports: [] })])).toEqual([]);
	});

	it('are remembered in a file that only root reads, and forgotten when it is damaged', () => {
		const directory = mkdtempSync(join(tmpdir(), 'fl-told-'));
		try {
			const path = join(directory, 'state', 'api-servers.json');
			expect(readServers(path)).toEqual([]);
			writeServers(path, ['https://192.0.2.1:6443']);
			expect(readServers(path)).toEqual(['https://192.0.2.1:6443']);
			expect(statSync(path).mode & 0o777).toBe(0o600);
			for (const text of ['{"servers": ["http://x", 7, "https://192.0.2.1 "]}', '{"servers":', 'null', '{}']) {
				writeFileSync(path, text);
				expect(readServers(path)).toEqual([]);
			}
		} finally {
			rmSync(directory, { recursive: true });
		}
	});
});

it('compares versions as numbers of any length, and others not at all', () => {
	expect(isNewer('10', '9')).toBe(true);
	expect(isNewer('9', '10')).toBe(false);
	expect(isNewer('9', '9')).toBe(false);
	expect(isNewer('18446744073709551616', '18446744073709551615')).toBe(true);
	expect(isNewer('x', '1')).toBe(false);
	expect(isNewer('1', '')).toBe(false);
});
