import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { findKind } from '../../../test/apiserver/kinds.ts';
import { putObject } from '../../../test/apiserver/operations.ts';
import { TestApiServer } from '../../../test/apiserver/server.ts';
import { makeTls, type TlsFiles } from '../../../test/apiserver/tls.ts';
import { nodeRef, serviceRef } from '../../model/event.ts';
import { ApiClient } from './api-client.ts';
import { type EventContent, EventWriter, type WriteApi } from './event-writer.ts';
import { NodeWriter, taintPatch } from './node-writer.ts';
import { ServerList } from './servers.ts';

let tls: TlsFiles;
let directory = '';
const cleanups: (() => unknown)[] = [];
const { signal } = new AbortController();

beforeAll(() => {
	directory = mkdtempSync(join(tmpdir(), 'fl-writers-'));
	tls = makeTls(directory, ['127.0.0.1']);
});
afterAll(() => rmSync(directory, { recursive: true }));
afterEach(async () => {
	for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function serve() {
	const server = new TestApiServer({ authenticate: true });
	server.allowToken('t');
	const url = `https://127.0.0.1:${await server.listen('127.0.0.1', 0, tls)}`;
	const client = new ApiClient({
		access: { kubeconfig: '' },
		load: async () => ({
			server: url,
			credentials: async () => ({ headers: { authorization: 'Bearer t' }, tls: { ca: tls.ca } }),
		}),
		servers: (configured) => new ServerList([configured], []),
		limits: { connectMs: 5000, answerMs: 5000, watchIdleMs: 5000 },
	});
	cleanups.push(
		() => server.close(),
		() => client.close(),
	);
	const put = (kind: string, name: string, more: object, metadata: object = {}) => {
		const info = findKind('v1', kind);
		if (info === undefined) throw new Error(kind);
		putObject(server.storage, info, { kind, apiVersion: 'v1', metadata: { name, ...metadata }, ...more });
	};
	put('Namespace', 'default', {});
	put('Namespace', 'shop', {});
	// biome-ignore lint/suspicious/noExplicitAny: objects of many kinds
	const read = async (path: string): Promise<any> => client.get(path, {}, signal);
	return { server, client, put, read };
}

const EVENT: EventContent = {
	about: nodeRef('n1'),
	type: 'Warning',
	reason: 'MapPressure',
	message: 'map ct4 fills up',
	count: 1,
	firstMs: Date.UTC(2030, 0, 1, 12, 0, 0, 700),
	lastMs: Date.UTC(2030, 0, 1, 12, 0, 0, 700),
};

describe('EventWriter', () => {
	it('writes an Event as the kubelet does, and counts repetitions in the same object', async () => {
		const { client, read } = await serve();
		const writer = new EventWriter(client, 'n1');
		const { handle } = await writer.deliver(EVENT, undefined, signal);
		const again = { ...EVENT, count: 4, lastMs: EVENT.lastMs + 60_000 };
		expect(await writer.deliver(again, handle, signal)).toEqual({ handle });
		const { items } = await read('/api/v1/events');
		expect(items).toHaveLength(1);
		expect(items[0]).toMatchObject({
			metadata: { namespace: 'default', name: expect.stringMatching(/^n1\.[0-9a-f]{16}$/) as string },
			involvedObject: { apiVersion: 'v1', kind: 'Node', name: 'n1', uid: 'n1' },
			...{ type: 'Warning', reason: 'MapPressure', message: 'map ct4 fills up', count: 4 },
			...{ firstTimestamp: '2030-01-01T12:00:00Z', lastTimestamp: '2030-01-01T12:01:00Z' },
			source: { component: 'fairlead-agent', host: 'n1' },
			...{ reportingComponent: 'fairlead-agent', reportingInstance: 'n1' },
		});
	});

	it('writes into the namespace of the object, with the uid that kubectl describe asks for', async () => {
		const { client, put, read } = await serve();
		put('Service', 'web', { spec: { ports: [{ port: 80 }] } }, { namespace: 'shop' });
		const writer = new EventWriter(client, 'n1');
		await writer.deliver({ ...EVENT, about: serviceRef('shop/web') }, undefined, signal);
		await writer.deliver({ ...EVENT, about: serviceRef('shop/gone') }, undefined, signal);
		const { metadata } = await read('/api/v1/namespaces/shop/services/web');
		const { items } = await read('/api/v1/namespaces/shop/events');
		const uids = items.map(({ involvedObject }: { involvedObject: object }) => involvedObject);
		expect(uids).toEqual([
			{ apiVersion: 'v1', kind: 'Service', namespace: 'shop', name: 'gone' },
			{ apiVersion: 'v1', kind: 'Service', namespace: 'shop', name: 'web', uid: metadata.uid },
		]);
	});

	it('makes a new object when the API server has forgotten the old one', async () => {
		const { server, client, read } = await serve();
		const writer = new EventWriter(client, 'n1');
		const { handle } = await writer.deliver(EVENT, undefined, signal);
		const events = findKind('v1', 'Event');
		if (events !== undefined) server.storage.delete(events, handle);
		const next = await writer.deliver({ ...EVENT, count: 2 }, handle, signal);
		expect(next.handle).not.toBe(handle);
		expect((await read('/api/v1/events')).items).toHaveLength(1);
	});

	it('gives up what the server refuses for good, and throws what may work later', async () => {
		const { server, client } = await serve();
		const writer = new EventWriter(client, 'n1');
		const nowhere = { ...EVENT, about: { ...serviceRef('nowhere/web'), uid: 'u' } };
		expect(await writer.deliver(nowhere, undefined, signal)).toMatchObject({
			handle: '',
			refused: expect.stringContaining('cannot write /api/v1/namespaces/nowhere/events') as string,
		});
		server.faults.add({ verb: 'create', times: 1, action: { type: 'status', code: 429 } });
		await expect(writer.deliver(EVENT, undefined, signal)).rejects.toMatchObject({ code: 'API_REFUSED' });
		server.faults.add({ verb: 'create', times: 1, action: { type: 'drop' } });
		await expect(writer.deliver(EVENT, undefined, signal)).rejects.toMatchObject({ code: 'API_UNREACHABLE' });
	});
});

const OURS = 'node.fairlead.dev/agent-not-ready';
const FOREIGN = [
	{ key: 'node.kubernetes.io/unreachable', effect: 'NoExecute', timeAdded: '2030-01-01T12:00:00Z' },
	{ key: 'gpu', value: 'yes', effect: 'NoSchedule' },
];

describe('NodeWriter', () => {
	it('sets the condition beside those of others, and its transition only when it changes', async () => {
		const { client, put, read } = await serve();
		const ready = { type: 'Ready', status: 'True', lastTransitionTime: '2029-01-01T00:00:00Z' };
		const cloud = { type: 'NetworkUnavailable', status: 'True', reason: 'NoRouteCreated', message: 'wait' };
		put('Node', 'n1', { status: { conditions: [ready, { ...cloud, lastTransitionTime: '2029-01-01T00:00:00Z' }] } });
		const writer = new NodeWriter(client, 'n1');
		const [first, second] = [Date.UTC(2030, 0, 1), Date.UTC(2030, 0, 2)];
		expect(await writer.setNetworkAvailable(first, signal)).toBe(true);
		expect(await writer.setNetworkAvailable(second, signal)).toBe(false);
		const available = {
			...{ type: 'NetworkUnavailable', status: 'False', reason: 'FairleadIsUp' },
			...{ message: 'Fairlead is running on this node', lastTransitionTime: '2030-01-01T00:00:00Z' },
		};
		expect((await read('/api/v1/nodes/n1')).status.conditions).toEqual([ready, expect.objectContaining(available)]);
		put('Node', 'n1', { status: { conditions: [{ ...available, reason: 'CalicoIsUp' }] } });
		expect(await writer.setNetworkAvailable(second, signal)).toBe(true);
		expect((await read('/api/v1/nodes/n1')).status.conditions).toEqual([expect.objectContaining(available)]);
	});

	it('sets the condition of a node that has none', async () => {
		const { client, put, read } = await serve();
		put('Node', 'n1', {});
		await new NodeWriter(client, 'n1').setNetworkAvailable(Date.UTC(2030, 0, 1), signal);
		expect((await read('/api/v1/nodes/n1')).status.conditions).toMatchObject([{ type: 'NetworkUnavailable' }]);
	});

	it('removes the taint with all its effects and leaves those of others', async () => {
		const { client, put, read } = await serve();
		const ours = ['NoSchedule', 'NoExecute'].map((effect) => ({ key: OURS, effect }));
		put('Node', 'n1', { spec: { taints: [ours[0], FOREIGN[0], ours[1], FOREIGN[1]] } });
		const writer = new NodeWriter(client, 'n1');
		expect(await writer.removeTaint(OURS, signal)).toBe(2);
		expect((await read('/api/v1/nodes/n1')).spec.taints).toEqual(FOREIGN);
		expect(await writer.removeTaint(OURS, signal)).toBe(0);
	});

	it('loses no taint that somebody adds between its look and its patch', async () => {
		const { client, put, read } = await serve();
		put('Node', 'n1', { spec: { taints: [{ key: OURS, effect: 'NoSchedule' }, FOREIGN[1]] } });
		let reads = 0;
		const api: WriteApi = {
			get: async (...args) => {
				const answer = await client.get(...args);
				// the list has moved by one when the first patch arrives
				if (++reads === 1) put('Node', 'n1', { spec: { taints: [FOREIGN[0], { key: OURS, effect: 'NoSchedule' }] } });
				return answer;
			},
			write: (...args) => client.write(...args),
		};
		expect(await new NodeWriter(api, 'n1').removeTaint(OURS, signal)).toBe(1);
		expect([reads, (await read('/api/v1/nodes/n1')).spec.taints]).toEqual([2, [FOREIGN[0]]]);
	});

	it('names what it may not do', async () => {
		const { server, client, put } = await serve();
		put('Node', 'n1', { spec: { taints: [{ key: OURS, effect: 'NoSchedule' }] } });
		server.faults.add({ verb: 'patch', times: 9, action: { type: 'status', code: 403 } });
		await expect(new NodeWriter(client, 'n1').removeTaint(OURS, signal)).rejects.toThrow(
			'cannot write /api/v1/nodes/n1',
		);
	});
});

describe('taintPatch', () => {
	it('tests each place before it removes it, from the back', () => {
		const taints = [
			{ key: 'a', effect: 'NoSchedule' },
			{ key: 'b', effect: 'NoSchedule' },
			{ key: 'a', effect: 'NoExecute' },
		];
		expect(taintPatch(taints, 'a').map(({ op, path }) => `${op} ${path}`)).toEqual([
			'test /spec/taints/2',
			'remove /spec/taints/2',
			'test /spec/taints/0',
			'remove /spec/taints/0',
		]);
		expect(taintPatch([], 'a')).toEqual([]);
	});
});
