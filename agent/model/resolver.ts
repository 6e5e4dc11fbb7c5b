/** Name servers as the configuration names them. */
import { type Address, parseAddress } from './address.ts';

/** What is configured: a Service, or an address. */
export type ResolverSource =
	| { readonly kind: 'service'; readonly namespace: string; readonly name: string }
	| { readonly kind: 'address'; readonly address: Address; readonly port: number };

export const DNS_PORT = 53;

/** 'namespace/service', an address, 'address:port' or '[address]:port'. @returns undefined when it is none of these */
export function parseResolver(text: string): ResolverSource | undefined {
	const address = parseAddress(text);
	if (address !== undefined) return { kind: 'address', address, port: DNS_PORT };
	const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:/]+)):(\d{1,5})$/.exec(text) ?? [];
	const host = parseAddress(bracketed ?? plain ?? '');
	const port = Number(digits);
	if (host !== undefined && port > 0 && port < 65536) return { kind: 'address', address: host, port };
	const [, namespace, name] = /^([a-z0-9-]+)\/([a-z0-9-]+)$/.exec(text) ?? [];
	return namespace !== undefined && name !== undefined ? { kind: 'service', namespace, name } : undefined;
}
