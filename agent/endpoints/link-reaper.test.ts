import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Netlink } from '../kernel/netlink.ts';
import { LinkReaper } from './link-reaper.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('an interface that waits for its removal', () => {
	const netlink = new Netlink({ request: async () => [] });
	const make = () => new LinkReaper({ netlink, delayMs: 250, onError: () => undefined });

	it.each([
		['its name', 'fl1', undefined, true],
		['another name', 'fl2', undefined, false],
		['its namespace', 'fl2', { key: '4:100', cookie: 7n }, true],
		['a namespace that has its number now', 'fl2', { key: '4:100', cookie: 8n }, false],
		['one of its number whose cookie is not known', 'fl2', { key: '4:100', cookie: 0n }, true],
		['another namespace', 'fl2', { key: '4:101', cookie: 7n }, false],
	])('blocks %s or does not', (_what, name, netns, blocked) => {
		const reaper = make();
		reaper.add({ name: 'fl1', netns: { key: '4:100', cookie: 7n } });
		expect(reaper.blocks(name, netns)).toBe(blocked);
	});

	it('blocks any namespace of its number when its own cookie is not known, and none without a number', () => {
		const reaper = make();
		reaper.add({ name: 'fl1', netns: { key: '4:100', cookie: 0n } });
		reaper.add({ name: 'fl2' });
		expect(reaper.blocks('fl3', { key: '4:100', cookie: 8n })).toBe(true);
		expect(reaper.blocks('fl3', { key: '4:101', cookie: 8n })).toBe(false);
		expect(reaper.blocks('fl3')).toBe(false);
	});
});
