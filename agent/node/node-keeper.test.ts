import { describe, expect, it } from 'vitest';
import { parseNode } from '../model/node.ts';
import { NodeKeeper } from './node-keeper.ts';
import { ObjectFaults, refOf } from './object-faults.ts';
import { isReporter } from './reporters.ts';

const TAINT = 'node.fairlead.dev/agent-not-ready';

function start(startupTaint = TAINT) {
	const calls: string[] = [];
	const events: string[] = [];
	const retries: (() => void)[] = [];
	const state = { failures: 0, changed: true };
	const log = { info: () => undefined, warn: () => undefined };
	const keeper = new NodeKeeper({
		node: {
			setNetworkAvailable: async (nowMs) => {
				if (state.failures-- > 0) throw new Error('403: forbidden');
				calls.push(`available at ${nowMs}`);
				return state.changed;
			},
			removeTaint: async (key) => {
				calls.push(`untaint ${key}`);
				return 1;
			},
		},
		nodeName: 'n1',
		startupTaint,
		events: { event: (about, type, reason, message) => events.push(`${about.name} ${type} ${reason} ${message}`) },
		log,
		now: () => 7,
		clock: {
			schedule: (task) => {
				retries.push(task);
				return () => undefined;
			},
			random: () => 0,
		},
	});
	return { keeper, calls, events, retries, state };
}

function node(spec: object, status: object = {}) {
	const parsed = parseNode({ metadata: { name: 'n1' }, spec, status });
	if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
	return parsed.value;
}

const tainted = node({ taints: [{ key: 'gpu' }, { key: TAINT }] });
const unavailable = node({}, { conditions: [{ type: 'NetworkUnavailable', status: 'True' }] });

describe('NodeKeeper', () => {
	it('writes nothing before pods can be attached, then the condition before the taint', async () => {
		const { keeper, calls } = start();
		keeper.onNode(tainted);
		await keeper.idle();
		expect(calls).toEqual([]);
		keeper.start();
		await keeper.idle();
		expect(calls).toEqual(['available at 7', `untaint ${TAINT}`]);
	});

	it('writes again when somebody has set one of them again, and only then', async () => {
		const { keeper, calls } = start();
		keeper.start();
		await keeper.idle();
		keeper.onNode(
			node({ taints: [{ key: 'gpu' }] }, { conditions: [{ type: 'NetworkUnavailable', status: 'False' }] }),
		);
		keeper.onNode(undefined);
		await keeper.idle();
		expect(calls).toHaveLength(2);
		keeper.onNode(tainted);
		await keeper.idle();
		expect(calls).toHaveLength(4);
		keeper.onNode(unavailable);
		await keeper.idle();
		expect(calls).toHaveLength(6);
	});

	it('leaves taints alone when none is configured', async () => {
		const { keeper, calls } = start('');
		keeper.start();
		keeper.onNode(tainted);
		await keeper.idle();
		expect(calls).toEqual(['available at 7']);
	});

	it('tells by an Event what it may not write, and tries again', async () => {
		const { keeper, calls, events, retries, state } = start();
		state.failures = 1;
		keeper.start();
		await keeper.idle();
		expect([keeper.problem, events]).toEqual(['403: forbidden', ['n1 Warning NodeWriteFailed 403: forbidden']]);
		retries.shift()?.();
		await keeper.idle();
		expect([keeper.problem, calls.length]).toEqual(['', 2]);
	});
});

describe('isReporter', () => {
	it('chooses three nodes for each object, and others for another', () => {
		const nodes = Array.from({ length: 200 }, (_, at) => `node-${at}`);
		const chosen = (object: string) => nodes.filter((self) => isReporter(object, self, nodes));
		expect([chosen('Service a/b').length, chosen('Service a/c').length]).toEqual([3, 3]);
		expect(chosen('Service a/b')).not.toEqual(chosen('Service a/c'));
		expect(isReporter('Service a/b', 'alone', [])).toBe(true);
	});
});

describe('ObjectFaults', () => {
	it('tells of a fault once, and again when it comes back', () => {
		const events: string[] = [];
		const faults = new ObjectFaults({
			events: {
				event: (about, _type, reason, message) => events.push(`${about.kind} ${about.name} ${reason} ${message}`),
			},
			nodeName: 'n1',
			nodes: () => ['n1'],
		});
		const fault = { object: 'Service shop/web', path: 'spec.ports', message: 'expected a list', keptLastGood: true };
		const connection = { object: 'objects of kind Pod', path: '', message: 'ECONNREFUSED', keptLastGood: true };
		faults.update([fault, connection]);
		faults.update([fault]);
		expect(events).toEqual([
			'Service web InvalidObject spec.ports: expected a list; its last good version stays in force',
		]);
		faults.update([]);
		faults.update([{ ...fault, keptLastGood: false }]);
		expect(events).toHaveLength(2);
	});

	it('knows what an object is called in the API', () => {
		expect(refOf('NetworkPolicy a/b')).toMatchObject({ apiVersion: 'networking.k8s.io/v1', namespace: 'a', name: 'b' });
		expect(refOf('Node n1')).toMatchObject({ apiVersion: 'v1', namespace: '', name: 'n1' });
		expect([refOf('document'), refOf('Deployment a/b')]).toEqual([undefined, undefined]);
	});
});
