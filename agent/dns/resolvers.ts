/**
 * Which name servers count: addresses that are configured, or Services with the backends they have now. Pure.
 */
import type { Address } from '../model/address.ts';
import type { ClusterView } from '../model/cluster-view.ts';
import { DNS_PORT, type ResolverSource } from '../model/resolver.ts';

/** Where queries go. */
export interface Resolver {
	readonly address: Address;
	readonly port: number;
	readonly protocol: 'UDP' | 'TCP';
}

const PROTOCOLS = ['UDP', 'TCP'] as const;

type View = Pick<ClusterView, 'services' | 'slicesOf'>;

/** By '<protocol> <address> <port>'. */
export function planResolvers(view: View, sources: readonly ResolverSource[]): Map<string, Resolver> {
	const found = new Map<string, Resolver>();
	const add = (resolver: Resolver): void => void found.set(resolverKey(resolver), resolver);
	for (const source of sources) {
		if (source.kind === 'address') {
			for (const protocol of PROTOCOLS) add({ address: source.address, port: source.port, protocol });
		} else for (const resolver of resolversOf(view, source)) add(resolver);
	}
	return found;
}

export function resolverKey({ protocol, address, port }: Resolver): string {
	return `${protocol} ${address} ${port}`;
}

/** The ports of a Service that are port 53 at its address. */
function* resolversOf(view: View, { namespace, name }: { namespace: string; name: string }): Iterable<Resolver> {
	const service = view.services.get(`${namespace}/${name}`);
	if (service === undefined) return;
	const names = new Set<string>();
	for (const { name: portName, port, protocol } of service.ports) {
		if (port !== DNS_PORT || protocol === 'SCTP') continue;
		names.add(`${portName} ${protocol}`);
		const addresses = [...service.clusterIps, ...service.externalIps, ...service.loadBalancerIps];
		for (const address of addresses) yield { address, port, protocol };
	}
	for (const { ports, endpoints } of view.slicesOf(`${namespace}/${name}`)) {
		for (const { name: portName, port, protocol } of ports) {
			if (protocol === 'SCTP' || !names.has(`${portName} ${protocol}`)) continue;
			for (const { address } of endpoints) yield { address, port, protocol };
		}
	}
}
