import { describe, expect, it } from 'vitest';
import { Watchdog, type WatchedHook } from './watchdog.ts';

function start() {
	const state = {
		hooks: [] as WatchedHook[],
		fail: '',
		events: [] as string[],
		gone: [] as string[],
		repaired: [] as string[],
		unrepairable: new Set<string>(),
		logged: 0,
	};
	const watchdog = new Watchdog({
		inspect: async () => {
			if (state.fail !== '') throw new Error(state.fail);
			return state.hooks;
		},
		repair: (name) => {
			if (state.unrepairable.has(name)) throw new Error('EBUSY');
			state.repaired.push(name);
			return true;
		},
		onGone: (names) => state.gone.push(...names),
		warn: (reason, message) => state.events.push(`${reason}: ${message}`),
		log: { info: () => state.logged++, warn: () => state.logged++ },
	});
	return { watchdog, state };
}

const hook = (name: string, over: Partial<WatchedHook> = {}): WatchedHook => ({
	...{ name, kind: 'tc-ingress', state: 'attached', foreign: [] },
	...over,
});

describe('Watchdog', () => {
	it('says nothing about a node where all is well', async () => {
		const { watchdog, state } = start();
		state.hooks = [hook('uplink_2_in'), hook('cgroup_1_connect4', { kind: 'cgroup' })];
		await watchdog.look();
		expect([state.events, state.logged, watchdog.warnings, watchdog.counts]).toEqual([[], 0, [], []]);
	});

	it('attaches again what is lost, counts it and tells of it', async () => {
		const { watchdog, state } = start();
		state.hooks = [hook('uplink_2_in', { state: 'lost' }), hook('pod_x_in')];
		await watchdog.look();
		expect([state.repaired, watchdog.repaired]).toEqual([['uplink_2_in'], 1]);
		expect(state.events).toEqual(['LinkRepaired: attached again what somebody had detached: uplink_2_in']);
	});

	it('tells of many in one Event, those of the node first', async () => {
		const { watchdog, state } = start();
		const pods = Array.from({ length: 30 }, (_, i) => hook(`pod_${i}_in`, { state: 'lost' }));
		state.hooks = [...pods, hook('uplink_2_in', { state: 'lost' })];
		await watchdog.look();
		expect(watchdog.repaired).toBe(31);
		expect(state.events).toEqual([
			expect.stringMatching(
				/^LinkRepaired: attached again what somebody had detached: uplink_2_in, pod_0_in, .* and 6 more$/,
			),
		]);
	});

	it('keeps telling in status what it cannot repair, and goes on with the others', async () => {
		const { watchdog, state } = start();
		state.unrepairable.add('uplink_2_xdp');
		state.hooks = [hook('uplink_2_xdp', { state: 'lost', kind: 'xdp' }), hook('uplink_2_in', { state: 'lost' })];
		await watchdog.look();
		await watchdog.look();
		expect(state.repaired).toEqual(['uplink_2_in', 'uplink_2_in']);
		expect(watchdog.warnings).toEqual(['uplink_2_xdp is not attached and cannot be: EBUSY']);
		state.unrepairable.clear();
		await watchdog.look();
		expect(watchdog.warnings).toEqual([]);
	});

	it('tells of a foreign program once, counts it by hook and side, and forgets it when it is gone', async () => {
		const { watchdog, state } = start();
		const foreign = [
			{ what: 'program cil_from_netdev (id 7)', position: 'before' as const },
			{ what: 'program pktvisor (id 8)', position: 'after' as const },
		];
		state.hooks = [hook('uplink_2_in', { foreign })];
		await watchdog.look();
		await watchdog.look();
		expect(state.events).toEqual([
			'ForeignProgram: foreign program cil_from_netdev (id 7) at tc-ingress of uplink_2_in, before ours',
			'ForeignProgram: foreign program pktvisor (id 8) at tc-ingress of uplink_2_in, after ours',
		]);
		expect(watchdog.counts).toEqual([
			{ hook: 'tc-ingress', position: 'before', programs: 1 },
			{ hook: 'tc-ingress', position: 'after', programs: 1 },
		]);
		expect(watchdog.warnings).toHaveLength(2);
		state.hooks = [hook('uplink_2_in')];
		await watchdog.look();
		expect([watchdog.warnings, watchdog.counts]).toEqual([[], []]);
	});

	it('calls for whoever makes devices when one is gone, but not for pods, which end with their device', async () => {
		const { watchdog, state } = start();
		state.hooks = [hook('overlay_5_in', { state: 'gone' }), hook('pod_x_in', { state: 'gone' })];
		await watchdog.look();
		expect([state.gone, state.repaired]).toEqual([['overlay_5_in'], []]);
	});

	it('goes on after a look that failed', async () => {
		const { watchdog, state } = start();
		state.fail = 'EPERM';
		await watchdog.look();
		await watchdog.look();
		expect(state.logged).toBe(1);
		state.fail = '';
		state.hooks = [hook('uplink_2_in', { state: 'lost' })];
		await watchdog.look();
		expect(state.repaired).toEqual(['uplink_2_in']);
	});
});
