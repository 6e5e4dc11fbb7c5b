import { describe, expect, it } from 'vitest';
import { clusterOf, endpoint, service, slice } from '../../test/lib/cluster-builder.ts';
import { judgeProxyHealth } from './proxy-health.ts';
import { SyncTracker } from './sync-tracker.ts';

const DONE = { problems: [], refused: [], full: false, tookMs: 1 };

/** A tracker with a clock that is set by hand, and what it has reported. */
function tracked(families: readonly (4 | 6)[] = [4, 6]) {
	const store = clusterOf(
		[service('web', { clusterIps: ['10.96.0.1', 'fd00:96::1'] }), service('old', { clusterIps: ['10.96.0.2'] })],
		[slice('web', ['10.0.0.1']), slice('web', ['fd00::1'], { name: 'web-6', addressType: 'IPv6' })],
	);
	const seen: string[] = [];
	const at = { ms: 1_000_000 };
	const tracker = new SyncTracker(
		{
			onSync: (family, seconds, full) => seen.push(`${family} ${full ? 'full' : 'partial'} ${seconds}`),
			onProgrammed: (family, seconds) => seen.push(`${family} programmed after ${seconds}`),
		},
		{ wall: () => at.ms, monotonic: () => at.ms - 7 },
	);
	tracker.start(families, store);
	const pass = (ms: number): number => {
		at.ms += ms;
		return at.ms;
	};
	pass(5);
	return { store, tracker, seen, pass };
}

function synced(families: readonly (4 | 6)[] = [4, 6]) {
	const made = tracked(families);
	made.tracker.finished({ ...DONE, full: true });
	made.seen.splice(0);
	return made;
}

describe('changes on their way into force', () => {
	it('are all there is at the start', () => {
		const { tracker, seen } = tracked();
		const { IPv4, IPv6 } = Object.fromEntries(tracker.families());
		expect(IPv4).toMatchObject({ serviceChanges: { pending: 2, total: 2 }, endpointChanges: { pending: 1, total: 1 } });
		expect(IPv6).toMatchObject({ serviceChanges: { pending: 1, total: 1 }, endpointChanges: { pending: 1, total: 1 } });
		tracker.finished({ ...DONE, full: true });
		expect(seen).toEqual(['IPv4 full 0.001', 'IPv6 full 0.001']);
		expect(tracker.families().get('IPv4')).toMatchObject({
			serviceChanges: { pending: 0, total: 2 },
			oldestQueuedMs: undefined,
			lastUpdatedMs: 1_000_005,
		});
	});

	it('count for their family only', () => {
		const { store, tracker, seen, pass } = synced();
		store.set('EndpointSlice', 'default/web-6', slice('web', [], { name: 'web-6', addressType: 'IPv6' }));
		tracker.changed(['default/web'], store);
		expect(tracker.families().get('IPv6')?.endpointChanges).toEqual({ pending: 1, total: 2 });
		expect(tracker.families().get('IPv4')?.endpointChanges).toEqual({ pending: 0, total: 1 });
		pass(5);
		tracker.finished(DONE);
		expect(seen).toEqual(['IPv6 partial 0.001']);
	});

	it('count a slice and a service that go', () => {
		const { store, tracker } = synced();
		store.delete('EndpointSlice', 'default/web-1');
		store.delete('Service', 'default/old');
		tracker.changed(['default/web', 'default/old'], store);
		expect(tracker.families().get('IPv4')).toMatchObject({
			serviceChanges: { pending: 1, total: 3 },
			endpointChanges: { pending: 1, total: 2 },
		});
	});

	it('wait for the next run when they arrive during one', () => {
		const { store, tracker, pass } = synced();
		pass(10);
		tracker.changed([], store);
		store.set('Service', 'default/old', service('old', { clusterIps: ['10.96.0.3'] }));
		tracker.changed(['default/old'], store);
		pass(2);
		tracker.finished({ ...DONE, tookMs: 5 });
		expect(tracker.families().get('IPv4')?.serviceChanges.pending).toBe(1);
		pass(3);
		tracker.finished({ ...DONE, tookMs: 2 });
		expect(tracker.families().get('IPv4')?.serviceChanges.pending).toBe(0);
	});

	it('stay pending when the run fails', () => {
		const { store, tracker, pass } = synced();
		store.delete('Service', 'default/old');
		tracker.changed(['default/old'], store);
		pass(5);
		tracker.finished({ ...DONE, problems: ['map services: full'] });
		const sync = tracker.families().get('IPv4');
		expect(sync).toMatchObject({ serviceChanges: { pending: 1 }, lastUpdatedMs: 1_000_005, oldestQueuedMs: 1_000_005 });
	});

	it('are done when all that is left found no room: the node serves the others', () => {
		const { store, tracker, pass } = synced();
		store.delete('Service', 'default/old');
		tracker.changed(['default/old'], store);
		pass(5);
		const refused = { ...DONE, problems: ['default/web: map services is full'], refused: ['default/web'] };
		tracker.finished({ ...refused, problems: [...refused.problems, 'map slots: EPERM'] });
		expect(tracker.families().get('IPv4')?.serviceChanges.pending).toBe(1);
		tracker.finished(refused);
		expect(tracker.families().get('IPv4')?.serviceChanges.pending).toBe(0);
	});

	it('cost a bounded memory while nothing can be programmed', () => {
		const { tracker, pass } = synced([4]);
		for (let i = 0; i < 5000; i++) tracker.queued();
		pass(1);
		expect(tracker.families().get('IPv4')?.oldestQueuedMs).toBe(1_000_005);
		tracker.finished({ ...DONE, tookMs: 0 });
		expect(tracker.families().get('IPv4')?.oldestQueuedMs).toBeUndefined();
	});

	it('are measured from the moment the pod changed, unless that was before this agent', () => {
		const { store, tracker, seen, pass } = synced();
		const triggered = (triggeredAtMs: number, ...addresses: string[]) =>
			store.set(
				'EndpointSlice',
				'default/web-1',
				slice(
					'web',
					addresses.map((each) => endpoint(each)),
					{ triggeredAtMs },
				),
			);
		triggered(999_000, '10.0.0.2');
		tracker.changed(['default/web'], store);
		triggered(1_000_100, '10.0.0.3');
		tracker.changed(['default/web'], store);
		pass(595);
		tracker.finished(DONE);
		expect(seen).toEqual(['IPv4 partial 0.001', 'IPv4 programmed after 0.5']);
	});

	it('ignore a family that the node does not have', () => {
		const { tracker } = synced([4]);
		expect([...tracker.families().keys()]).toEqual(['IPv4']);
	});
});

describe('health of the proxy', () => {
	it('is good before the first sync, however long it takes', () => {
		const { tracker, pass } = tracked();
		pass(3_600_000);
		expect(tracker.health()).toMatchObject({ healthy: true, status: {} });
	});

	it('ends when a change of one family has waited for the health timeout, and returns with its sync', () => {
		const { store, tracker, pass } = synced();
		pass(100_000);
		store.set('Service', 'default/old', service('old', { clusterIps: ['10.96.0.3'] }));
		tracker.changed(['default/old'], store);
		pass(59_999);
		expect(tracker.health()).toMatchObject({ healthy: true, lastUpdatedMs: 1_160_004, currentTimeMs: 1_160_004 });
		pass(1);
		expect(tracker.health()).toEqual({
			healthy: false,
			lastUpdatedMs: 1_000_005,
			currentTimeMs: 1_160_005,
			status: {
				IPv4: { lastUpdatedMs: 1_000_005, healthy: false },
				IPv6: { lastUpdatedMs: 1_000_005, healthy: true },
			},
		});
		tracker.finished(DONE);
		expect(tracker.health()).toMatchObject({ healthy: true, status: { IPv4: { healthy: true } } });
	});

	it('tells the older time when both families are behind', () => {
		const behind = (lastUpdatedMs: number) => ({ lastUpdatedMs, oldestQueuedMs: 0 });
		const health = judgeProxyHealth(new Map([['IPv4', behind(50)] as const, ['IPv6', behind(20)] as const]), 100_000);
		expect(health).toMatchObject({ healthy: false, lastUpdatedMs: 20 });
	});
});
