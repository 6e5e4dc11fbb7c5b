/**
 * Addresses of the API servers as the cluster's own `kubernetes` Service tells them, remembered on disk: at the next start
 * they are known before any Service is.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { formatEndpoint } from '../../model/address.ts';
import type { EndpointSlice } from '../../model/endpoint-slice.ts';

/** Of the Service in front of the API servers. */
export const API_SERVICE = 'default/kubernetes';

/** URLs of the ready endpoints, sorted. */
export function serversOf(slices: readonly EndpointSlice[]): string[] {
	const urls = slices.flatMap(({ ports, endpoints }) => {
		const port = ports.find(({ name }) => name === 'https') ?? ports[0];
		if (port === undefined) return [];
		const ready = endpoints.filter((endpoint) => endpoint.ready);
		return ready.map(({ address }) => `https://${formatEndpoint(address, port.port)}`);
	});
	return [...new Set(urls)].sort();
}

/** What was remembered; empty when nothing was or it cannot be read. */
export function readServers(path: string): readonly string[] {
	try {
		const { servers } = JSON.parse(readFileSync(path, 'utf8')) as { servers?: unknown };
		if (!Array.isArray(servers)) return [];
		return servers.filter((url): url is string => typeof url === 'string' && /^https:\/\/\S+$/.test(url));
	} catch {
		return [];
	}
}

/** Replaces the file as a whole. @throws what the file system says */
export function writeServers(path: string, servers: readonly string[]): void {
	mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
	const staged = `${path}.new`;
	writeFileSync(staged, `${JSON.stringify({ servers })}\n`, { mode: 0o600 });
	chmodSync(staged, 0o600);
	renameSync(staged, path);
}
