import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CniError } from './cni-error.ts';
import { serveRequest } from './dispatch.ts';
import { decodeRequest, encodeReply, encodeRequest, RequestReader } from './protocol.ts';
import { parseRequest } from './request.ts';

const ENV = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'c1', CNI_NETNS: '/run/netns/x', CNI_IFNAME: 'eth0' };
const CONFIG = { cniVersion: '1.0.0', name: 'n', type: 't' };

const parse = (config: object, env: object = {}) =>
	parseRequest({ env: new Map(Object.entries({ ...ENV, ...env })), stdin: JSON.stringify({ ...CONFIG, ...config }) });

describe('a request', () => {
	it('names the pod from CNI_ARGS and ignores other arguments', () => {
		const CNI_ARGS = 'IgnoreUnknown=1;K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;K8S_POD_UID=c;X;=y';
		expect(parse({}, { CNI_ARGS }).pod).toEqual({ namespace: 'a', name: 'b', uid: 'c' });
		expect(parse({}, { CNI_ARGS: 'K8S_POD_NAME=b' }).pod).toBeNull();
	});

	it('maps host ports as runtimes write them', () => {
		const portMappings = [
			{ hostPort: 80, containerPort: 8080, protocol: 'tcp', hostIP: '' },
			{ hostPort: 53, containerPort: 53, protocol: 'UDP', hostIP: '0.0.0.0' },
			{ hostPort: 0, containerPort: 9 },
			{ hostPort: 9, containerPort: 9, hostIP: '2001:DB8::1' },
		];
		expect(parse({ runtimeConfig: { portMappings } }).portMappings).toEqual([
			{ hostAddress: null, hostPort: 80, protocol: 'TCP', podPort: 8080 },
			{ hostAddress: '0.0.0.0', hostPort: 53, protocol: 'UDP', podPort: 53 },
			{ hostAddress: '2001:db8::1', hostPort: 9, protocol: 'TCP', podPort: 9 },
		]);
	});

	it('ignores unknown keys, and what informs but asks for nothing', () => {
		const runtimeConfig = { cgroupPath: '/x', 'io.kubernetes.cri.pod-annotations': {}, dns: {}, ipRanges: [], mac: '' };
		expect(() => parse({ runtimeConfig, capabilities: { bandwidth: true }, unknown: [1], ipam: {} })).not.toThrow();
	});

	it('says of a value of the wrong type what it should be', () => {
		expect(() => parse({ prevResult: 5 })).toThrow('network configuration: prevResult: expected an object, got 5');
	});

	it('names each field that asks for what is not done', () => {
		const runtimeConfig = { bandwidth: { ingressRate: 1 }, mac: '02:00:00:00:00:01' };
		const attempt = () => parse({ runtimeConfig, ipam: { type: 'host-local' } });
		expect(attempt).toThrow('runtimeConfig.bandwidth, runtimeConfig.mac, ipam not supported: addresses come from');
		expect(() => parse({ runtimeConfig })).toThrow(/runtimeConfig\.bandwidth, runtimeConfig\.mac not supported$/);
	});
});

describe('framing', () => {
	it('gives back any environment and input, in pieces of any size', () => {
		const name = fc.string({ minLength: 1 }).filter((text) => !/[=\0]/.test(text));
		const value = fc.string().filter((text) => !text.includes('\0'));
		fc.assert(
			fc.property(fc.dictionary(name, value), fc.string(), fc.integer({ min: 1, max: 50 }), (env, stdin, size) => {
				const front = { env: new Map(Object.entries(env)), stdin };
				const bytes = encodeRequest(front);
				const reader = new RequestReader();
				let body: Buffer | undefined;
				for (let at = 0; at < bytes.length; at += size) body = reader.push(bytes.subarray(at, at + size));
				expect(decodeRequest(body ?? Buffer.alloc(0))).toEqual(front);
			}),
		);
	});

	it('puts length and exit status in front of a reply', () => {
		expect([...encodeReply(1, 'ü')]).toEqual([0, 0, 0, 3, 1, 0xc3, 0xbc]);
	});
});

describe('any input', () => {
	const context = () => ({
		endpoints: {
			attach: () => Promise.reject(new Error('reached')),
			detach: () => Promise.resolve(false),
			check: () => Promise.reject(new Error('reached')),
			collectGarbage: () => Promise.resolve({ removed: [], problems: [] }),
		},
		readiness: () => ({ state: 'ready' as const }),
		signal: new AbortController().signal,
	});

	const check = async (body: Buffer): Promise<void> => {
		const outcome = await serveRequest(body, context);
		if (outcome.exitStatus === 0) return expect(outcome.stdout).toBe('');
		const error = JSON.parse(outcome.stdout) as { code: number; msg: string; cniVersion: string };
		expect(error.code).toBeGreaterThan(0);
		expect(error.msg).not.toBe('');
		expect(outcome.error).toBeInstanceOf(CniError);
		if (error.code === 999) expect(error.msg).toBe('reached');
	};

	it('as bytes is answered with a result or an error object', async () => {
		await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), (bytes) => check(Buffer.from(bytes))));
	});

	it('as JSON of any shape is answered with a result or an error object', async () => {
		const keys = [
			'cniVersion',
			'name',
			'type',
			'prevResult',
			'runtimeConfig',
			'dns',
			'ipam',
			'cni.dev/valid-attachments',
		];
		const shaped = fc.record(Object.fromEntries(keys.map((key) => [key, fc.jsonValue()])), { requiredKeys: [] });
		const half = fc.record({ cniVersion: fc.constantFrom('0.4.0', '1.1.0'), rest: shaped });
		const command = fc.constantFrom('ADD', 'DEL', 'CHECK', 'STATUS', 'GC', 'x');
		await fc.assert(
			fc.asyncProperty(command, half, async (verb, { cniVersion, rest }) => {
				const stdin = JSON.stringify({ name: 'n', type: 't', ...rest, cniVersion });
				const env = new Map(Object.entries({ ...ENV, CNI_COMMAND: verb }));
				await check(encodeRequest({ env, stdin }).subarray(4));
			}),
		);
	});
});
