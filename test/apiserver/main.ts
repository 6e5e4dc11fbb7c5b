/**
 * The test API server as a process: `node test/apiserver/main.ts OPTIONS-AS-JSON`. Prints one JSON line with what clients need
 * once it serves. Besides the API, its unix socket answers /_admin/…: faults, tokens and objects as they are.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { type ClusterSize, generateCluster } from './generate.ts';
import { findKind } from './kinds.ts';
import { putObject } from './operations.ts';
import { type ServerOptions, TestApiServer } from './server.ts';
import { type ApiObject, keyOf, type Storage } from './storage.ts';
import { makeTls } from './tls.ts';

export interface ProcessOptions extends ServerOptions {
	/** For keys, certificates, kubeconfig and the unix socket. */
	readonly directory: string;
	/** Addresses to serve at. */
	readonly hosts: readonly string[];
	readonly port: number;
	/** Begin with a cluster of this size. */
	readonly size?: ClusterSize;
}

/** What POST /_admin/CALL takes. */
type AdminCalls = Readonly<Record<string, (body: unknown) => unknown>>;

function adminCalls(server: TestApiServer): AdminCalls {
	return {
		// the moment before watches are written to, on a clock that all processes share
		put: (body) => ({ writtenNs: String(process.hrtime.bigint()), ...put(server.storage, body as ApiObject) }),
		remove: (body) => {
			const { apiVersion, kind, metadata } = body as ApiObject;
			const info = findKind(apiVersion ?? '', kind ?? '');
			if (info === undefined) throw new Error(`no kind ${apiVersion} ${kind}`);
			server.storage.delete(info, keyOf(info, metadata.namespace ?? 'default', metadata.name));
		},
		fault: (body) => server.faults.add(body as Parameters<typeof server.faults.add>[0]),
		watchFaults: (body) => {
			server.faults.watches = body as typeof server.faults.watches;
		},
		clearFaults: () => server.faults.clear(),
		cutWatches: (body) => server.cutWatches(body as { midLine?: boolean; resource?: string }),
		compact: () => server.storage.compact(),
		allowToken: (body) => {
			const { token, lifetimeMs } = body as { token: string; lifetimeMs?: number };
			server.allowToken(token, lifetimeMs);
		},
		revokeToken: (body) => server.revokeToken((body as { token: string }).token),
		seen: () => server.seen,
		watches: () => server.watchCounts(),
	};
}

/** Makes an object exist, and its namespace. */
export function put(storage: Storage, object: ApiObject): { resourceVersion: string | undefined } {
	const info = findKind(object.apiVersion ?? '', object.kind ?? '');
	if (info === undefined) throw new Error(`no kind ${object.apiVersion} ${object.kind}`);
	const { namespace } = object.metadata;
	const namespaces = findKind('v1', 'Namespace');
	if (info.namespaced && namespace !== undefined && namespaces && !storage.get(namespaces, namespace)) {
		const labels = { 'kubernetes.io/metadata.name': namespace };
		putObject(storage, namespaces, { metadata: { name: namespace, labels }, status: { phase: 'Active' } });
	}
	return { resourceVersion: putObject(storage, info, object).object.metadata.resourceVersion };
}

function answerAdmin(calls: AdminCalls, request: IncomingMessage, response: ServerResponse): boolean {
	const name = /^\/_admin\/(\w+)$/.exec(request.url ?? '')?.[1];
	const call = name === undefined ? undefined : calls[name];
	if (call === undefined) return false;
	const chunks: Buffer[] = [];
	request.on('data', (chunk: Buffer) => chunks.push(chunk));
	request.on('end', () => {
		try {
			const text = Buffer.concat(chunks).toString();
			const result = call(text === '' ? {} : JSON.parse(text));
			response.end(JSON.stringify(result ?? null));
		} catch (thrown) {
			response.writeHead(400).end(thrown instanceof Error ? thrown.message : String(thrown));
		}
	});
	return true;
}

async function main(): Promise<void> {
	const options = JSON.parse(process.argv[2] ?? '{}') as ProcessOptions;
	const { directory, hosts, port, size } = options;
	mkdirSync(directory, { recursive: true, mode: 0o700 });
	const tls = makeTls(directory, [...hosts, 'kubernetes.default.svc', 'localhost']);
	const server = new TestApiServer(options);
	if (size !== undefined) generateCluster(server.storage, size);
	const ports = [];
	for (const host of hosts) ports.push(await server.listen(host, port, tls));
	const socket = join(directory, 'api.sock');
	rmSync(socket, { force: true });
	const calls = adminCalls(server);
	await server.listenUnix(socket, (request, response) => answerAdmin(calls, request, response));
	writeFileSync(join(directory, 'ready'), JSON.stringify({ ports, pid: process.pid }));
	process.stdout.write(`${JSON.stringify({ ports })}\n`);
}

if (import.meta.main) await main();
