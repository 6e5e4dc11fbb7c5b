/**
 * The two ends of a flow that somebody asks about, as people write them: addresses, pods, the node, services. Pure.
 */
import { status } from '@grpc/grpc-js';
import { L4Proto } from '../../native/abi/generated.ts';
import { protocolNumbers } from '../flows/protocols.ts';
import { type Address, familyOf, parseAddress } from '../model/address.ts';
import type { ClusterView } from '../model/cluster-view.ts';
import { FairleadError } from '../model/errors.ts';
import type { PolicyCompiler } from '../plan/policy/compiler.ts';
import { CallError } from './grpc-calls.ts';

export interface FlowEnd {
	readonly address: Address;
	/** For people: '10.244.1.5 (pod shop/web)'. */
	readonly text: string;
}

export interface EndContext {
	readonly view: ClusterView;
	readonly compiler?: Pick<PolicyCompiler, 'localPods'>;
	/** What `host` stands for; left out = not a word. */
	readonly nodeAddresses?: readonly Address[];
}

export interface EndsRequest {
	readonly source: string;
	readonly destination: string;
	/** 4 or 6; 0 = IPv4 where both have it. */
	readonly ipVersion: number;
}

interface NamedAddresses {
	readonly what: string;
	readonly addresses: readonly Address[];
}

function invalid(field: string, message: string): FairleadError {
	return new FairleadError('REQUEST_INVALID', `${field}: ${message}`, { field });
}

/** Both ends with an address of the same family. @throws REQUEST_INVALID, CallError NOT_FOUND */
export function endsOf(
	{ source, destination, ipVersion }: EndsRequest,
	context: EndContext,
): { readonly from: FlowEnd; readonly to: FlowEnd } {
	if (![0, 4, 6].includes(ipVersion)) throw invalid('ip_version', `expected 4 or 6, got ${ipVersion}`);
	const from = addressesOf(source, 'source', context);
	const to = addressesOf(destination, 'destination', context);
	for (const family of ipVersion === 0 ? [4, 6] : [ipVersion]) {
		const of = ({ addresses }: NamedAddresses) => addresses.find((address) => familyOf(address) === family);
		const [a, b] = [of(from), of(to)];
		if (a !== undefined && b !== undefined) return { from: endAt(a, from), to: endAt(b, to) };
	}
	const wanted = ipVersion === 0 ? 'of the same family' : `of IPv${ipVersion}`;
	throw invalid('destination', `${from.what || source} and ${to.what || destination} have no addresses ${wanted}`);
}

function endAt(address: Address, { what }: NamedAddresses): FlowEnd {
	return { address, text: what === '' ? address : `${address} (${what})` };
}

function addressesOf(text: string, field: string, context: EndContext): NamedAddresses {
	const { view, nodeAddresses } = context;
	const address = parseAddress(text);
	if (address !== undefined) return { what: ownerOf(address, context), addresses: [address] };
	if (text === 'host' && nodeAddresses !== undefined) return { what: 'this node', addresses: nodeAddresses };
	const [first = '', second = '', third, ...rest] = text.split('/');
	if (rest.length > 0 || text.split('/').includes('') || second === '') {
		throw invalid(field, `expected an address or NAMESPACE/POD, got ${JSON.stringify(text)}`);
	}
	if (third !== undefined) {
		if (first !== 'service') throw invalid(field, `expected service/NAMESPACE/NAME, got ${JSON.stringify(text)}`);
		return serviceAddresses(`${second}/${third}`, view);
	}
	const pod = view.pods.get(text);
	const local = [...(context.compiler?.localPods() ?? [])].find(({ key }) => key === text)?.pod;
	if (pod === undefined && local === undefined) throw notFound(`pod ${text}`);
	const addresses = local?.addresses ?? pod?.addresses ?? [];
	if (addresses.length === 0) throw notFound(`an address of pod ${text}`);
	return { what: `pod ${text}`, addresses };
}

function serviceAddresses(name: string, view: ClusterView): NamedAddresses {
	const service = view.services.get(name);
	if (service === undefined) throw notFound(`service ${name}`);
	const { clusterIps, externalIps, loadBalancerIps } = service;
	const addresses = [...clusterIps, ...loadBalancerIps, ...externalIps];
	if (addresses.length === 0) throw notFound(`an address of service ${name}: it is headless`);
	return { what: `service ${name}`, addresses };
}

function notFound(what: string): CallError {
	return new CallError(status.NOT_FOUND, `${what}: not found`);
}

function ownerOf(address: Address, { view }: EndContext): string {
	for (const [key, pod] of view.pods) {
		if (!pod.finished && !pod.hostNetwork && pod.addresses.includes(address)) return `pod ${key}`;
	}
	for (const [key, { clusterIps, externalIps, loadBalancerIps }] of view.services) {
		if ([...clusterIps, ...externalIps, ...loadBalancerIps].includes(address)) return `service ${key}`;
	}
	for (const [key, { internalIps, externalIps }] of view.nodes) {
		if ([...internalIps, ...externalIps].includes(address)) return `node ${key}`;
	}
	return '';
}

/** IP protocol number; '' = TCP, `icmp` is that of the address's family. @throws REQUEST_INVALID */
export function protocolOf(name: string, address: Address): number {
	if (name === '') return L4Proto.TCP;
	if (name.toLowerCase() === 'icmp') return familyOf(address) === 4 ? L4Proto.ICMP : L4Proto.ICMPV6;
	const [number] = protocolNumbers(name) ?? [];
	if (number === undefined) throw invalid('protocol', `expected tcp, udp, sctp, icmp, icmpv6 or a number, got ${name}`);
	return number;
}
