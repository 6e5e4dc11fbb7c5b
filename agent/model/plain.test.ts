import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseSliceBySchema } from './endpoint-slice.ts';
import { OddObject, Pool, readPlain } from './plain.ts';
import { readPod } from './plain-pod.ts';
import { readService } from './plain-service.ts';
import { readSlice } from './plain-slice.ts';
import { parsePodBySchema } from './pod.ts';
import { parseServiceBySchema } from './service.ts';

const meta = {
	name: 'web-1',
	namespace: 'shop',
	uid: 'u',
	creationTimestamp: '2026-01-01T00:00:00Z',
	labels: { app: 'web', 'kubernetes.io/service-name': 'web' },
	annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': '2026-01-01T00:00:00Z' },
	managedFields: [{ manager: 'm' }],
};
const slice = {
	kind: 'EndpointSlice',
	metadata: meta,
	addressType: 'IPv4',
	ports: [{ name: 'http', port: 8080, protocol: 'TCP' }, { name: 'all' }],
	endpoints: [
		{
			addresses: ['10.0.0.1', '10.0.0.2'],
			conditions: { ready: true, serving: null },
			nodeName: 'n1',
			hints: { forZones: [{ name: 'z' }], forNodes: [{ name: 'n1' }] },
		},
		{ addresses: ['010.0.0.3'] },
	],
};
const pod = {
	kind: 'Pod',
	metadata: meta,
	spec: {
		nodeName: 'n1',
		hostNetwork: false,
		containers: [
			{
				name: 'c',
				ports: [
					{ name: 'http', containerPort: 80 },
					{ containerPort: 81, protocol: 'UDP' },
				],
			},
		],
		initContainers: [
			{ ports: [{ name: 'gone', containerPort: 1 }] },
			{ restartPolicy: 'Always', ports: [{ name: 'side', containerPort: 2, protocol: 'SCTP' }] },
		],
	},
	status: { phase: 'Running', podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::0:1' }] },
};

const service = {
	kind: 'Service',
	metadata: { ...meta, annotations: { 'fairlead.dev/lb-algorithm': ' maglev ' } },
	spec: {
		type: 'LoadBalancer',
		clusterIP: '10.96.0.1',
		clusterIPs: ['10.96.0.1', 'fd00:96::0:1', '10.96.0.1'],
		externalIPs: ['192.0.2.1', '192.0.2.1'],
		ports: [
			{ name: 'http', port: 80, nodePort: 30080 },
			{ name: 'dns', port: 80, protocol: 'UDP' },
		],
		internalTrafficPolicy: 'Local',
		externalTrafficPolicy: 'Local',
		sessionAffinity: 'ClientIP',
		sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
		loadBalancerSourceRanges: ['10.0.0.0/8', '192.0.2.77/24'],
		healthCheckNodePort: 30081,
	},
	status: { loadBalancer: { ingress: [{ ip: '192.0.2.9' }, { ip: '192.0.2.8', ipMode: 'Proxy' }, { hostname: 'x' }] } },
};

/** What a field may be instead of what it is. */
const STRANGE: readonly unknown[] = [
	undefined, null, '', 'x', 'Failed', 'IPv6', 'fd00::1', '10.0.0.9', 'x'.repeat(254),
	0, 1, 65536, -1, 1.5, true, false, [], {}, [null], ['10.0.0.9'], [{ name: 'y' }], { a: 1 }, { a: 'b' },
	JSON.parse('{"__proto__":"x"}'),
]; // biome-ignore format: one list

/** Paths of all values inside. */
function pathsOf(value: unknown): (string | number)[][] {
	if (typeof value !== 'object' || value === null) return [[]];
	const keys = Array.isArray(value) ? [...value.keys()] : Object.keys(value);
	return [[], ...keys.flatMap((key) => pathsOf((value as Record<string, unknown>)[key]).map((path) => [key, ...path]))];
}

function replaced(value: unknown, path: readonly (string | number)[], by: unknown): unknown {
	const [key, ...rest] = path;
	if (key === undefined) return by;
	const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<string | number, unknown>;
	copy[key] = replaced(copy[key], rest, by);
	return copy;
}

const KINDS = [
	['EndpointSlice', slice, readSlice, parseSliceBySchema],
	['Pod', pod, readPod, parsePodBySchema],
	['Service', service, readService, parseServiceBySchema],
] as const;

describe('reading without a schema', () => {
	it.each(KINDS)('reads a %s as the schema does', (_kind, object, read, bySchema) => {
		const value = readPlain<unknown>(read, object);
		expect(value).toBeDefined();
		expect({ ok: true, value }).toEqual(bySchema(object));
	});

	it.each(KINDS)(
		'agrees with the schema about every %s, or leaves it to the schema',
		(_kind, object, read, bySchema) => {
			const paths = pathsOf(object);
			let plain = 0;
			const oneFault = (path: readonly (string | number)[], by: unknown) => {
				const changed = replaced(object, path, by);
				const value = readPlain<unknown>(read, changed);
				if (value === undefined) return;
				plain++;
				expect({ ok: true, value }).toEqual(bySchema(changed));
			};
			for (const path of paths) for (const by of STRANGE) oneFault(path, by);
			expect(plain).toBeGreaterThan(paths.length * 3);
			const two = fc.tuple(
				fc.constantFrom(...paths),
				fc.constantFrom(...paths),
				fc.constantFrom(...STRANGE),
				fc.jsonValue(),
			);
			fc.assert(
				fc.property(two, ([first, second, strange, any]) => {
					const changed = tryReplaced(replaced(object, first, strange), second, any);
					const value = readPlain<unknown>(read, changed);
					if (value !== undefined) expect({ ok: true, value }).toEqual(bySchema(changed));
				}),
				{ numRuns: 5000 },
			);
		},
	);

	it('holds equal labels of pods once', () => {
		const [a, b] = [readPod(pod), readPod(structuredClone(pod))];
		expect(a.labels).toBe(b.labels);
		expect(a.namedPorts).toBe(b.namedPorts);
	});

	it('does not hide faults of its own', () => {
		const fail = (error: Error) => () => readPlain(() => { throw error; }, {}); // biome-ignore format: short
		expect(fail(new OddObject())()).toBeUndefined();
		expect(fail(new TypeError('bug'))).toThrow('bug');
	});

	it('forgets what is shared before it takes too much memory', () => {
		const pool = new Pool<object>();
		const first = {};
		pool.share('first', first);
		expect(pool.share('first', {})).toBe(first);
		for (let i = 0; i < 20_000; i++) pool.share(`${i}`, first);
		const later = {};
		expect(pool.share('first', later)).toBe(later);
	});
});

/** The path may lead nowhere after another change, or beyond the end of a list, where it would leave a gap that no JSON has. */
function tryReplaced(value: unknown, path: readonly (string | number)[], by: unknown): unknown {
	let at = value;
	for (const key of path.slice(0, -1)) {
		if (typeof at !== 'object' || at === null) return value;
		at = (at as Record<string | number, unknown>)[key];
	}
	if (typeof at !== 'object' || at === null) return value;
	const last = path.at(-1);
	if (Array.isArray(at) && typeof last === 'number' && last > at.length) return value;
	return replaced(value, path, by);
}
