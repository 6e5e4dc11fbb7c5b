import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GracePeriods } from './grace-periods.ts';

let directory: string;
let switchPath: string;
let markerPath: string;
beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), 'fairlead-grace-'));
	switchPath = join(directory, 'rcu_expedited');
	markerPath = join(directory, 'marker');
	turn('0');
});
afterEach(() => rmSync(directory, { recursive: true }));

const turn = (to: '0' | '1'): void => writeFileSync(switchPath, `${to}\n`);
const state = (): string => readFileSync(switchPath, 'utf8').trim();
const marked = (): boolean => existsSync(markerPath) && readFileSync(markerPath, 'utf8') === 'boot-1';
const make = (o: { switchPath?: string; bootId?: string } = {}): GracePeriods =>
	new GracePeriods({ markerPath, switchPath, bootId: 'boot-1', ...o });

describe('shortened grace periods', () => {
	it('has the switch on while work is under way, marked as ours, and off afterwards', async () => {
		const periods = make();
		const during = await periods.shorten(async () => [state(), marked()]);
		expect(during).toEqual(['1', true]);
		expect([state(), marked()]).toEqual(['0', false]);
	});

	it('keeps the switch on until the last of several works has ended, also when one fails', async () => {
		const periods = make();
		const [slow, quick] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
		const works = [periods.shorten(() => slow.promise), periods.shorten(() => quick.promise)];
		quick.reject(new Error('attach failed'));
		await expect(works[1]).rejects.toThrow('attach failed');
		expect(state()).toBe('1');
		slow.resolve();
		await works[0];
		expect([state(), marked()]).toEqual(['0', false]);
	});

	it('leaves a switch alone that somebody else has on', async () => {
		turn('1');
		const periods = make();
		expect(await periods.shorten(async () => marked())).toBe(false);
		expect(state()).toBe('1');
	});

	it('switches off what an agent that was killed has left on, once', () => {
		turn('1');
		writeFileSync(markerPath, 'boot-1');
		make();
		expect([state(), marked()]).toEqual(['0', false]);
		turn('1');
		make();
		expect(state()).toBe('1');
	});

	it('does not take the marker of another boot for its own', () => {
		turn('1');
		writeFileSync(markerPath, 'boot-0');
		make();
		expect(state()).toBe('1');
	});

	it('works without the switch, and without a place for its marker', async () => {
		const without = make({ switchPath: join(directory, 'missing') });
		expect(without.available).toBe(false);
		expect(await without.shorten(async () => 'done')).toBe('done');
		markerPath = join(switchPath, 'marker');
		expect(await make().shorten(async () => state())).toBe('0');
	});

	it('switches off at close, also amid work', async () => {
		const periods = make();
		const work = Promise.withResolvers<void>();
		const running = periods.shorten(() => work.promise);
		periods.close();
		expect([state(), marked()]).toEqual(['0', false]);
		work.resolve();
		await running;
		expect(await periods.shorten(async () => state())).toBe('0');
	});
});
