/**
 * Short ways to write policy worlds and what must be reachable in them. The usual world has three namespaces of three pods;
 * every pod listens on two ports of three protocols.
 */
import type { Address } from '../../agent/model/address.ts';
import { type ClusterNetworkPolicy, parseClusterNetworkPolicy } from '../../agent/model/cluster-network-policy.ts';
import type { Parsed } from '../../agent/model/fields.ts';
import { type NetworkPolicy, parseNetworkPolicy } from '../../agent/model/network-policy.ts';
import type { Namespace, Node } from '../../agent/model/node.ts';
import type { Pod } from '../../agent/model/pod.ts';
import { AUDIT_ANNOTATION } from '../../agent/model/policy-audit.ts';
import type { PolicyFlow, PolicyWorld } from './policy-simulator.ts';

export const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132 } as const;
export type ProtocolName = keyof typeof PROTOCOLS;
export const PORTS = [80, 81] as const;
const NAMES = ['a', 'b', 'c'];
const NAMESPACES = ['x', 'y', 'z'];

/** The world of a test; change it between two looks. */
export interface MutableWorld extends PolicyWorld {
	readonly namespaces: Map<string, Namespace>;
	readonly pods: Map<string, Pod>;
	readonly nodes: Map<string, Node>;
	readonly networkPolicies: Map<string, NetworkPolicy>;
	readonly clusterNetworkPolicies: Map<string, ClusterNetworkPolicy>;
}

export function requireParsed<T>(parsed: Parsed<T>): T {
	if (parsed.ok) return parsed.value;
	throw new Error(parsed.issues.map(({ path, message }) => `${path}: ${message}`).join('; '));
}

export function nodeOf(name: string, addresses: readonly Address[], labels: Record<string, string> = {}): Node {
	const parts = { name, labels, zone: '', internalIps: addresses, externalIps: [], podCidrs: [] };
	return { ...parts, goingAway: false };
}

export function podOf(namespace: string, name: string, addresses: readonly Address[], over: Partial<Pod> = {}): Pod {
	const labels = { pod: name };
	return { namespace, name, uid: '', labels, node: 'node-1', hostNetwork: false, addresses, finished: false, ...over };
}

/** Ports by the names that probes use: serve-80-tcp, serve-81-udp, ... */
export function usualPorts(): NonNullable<Pod['namedPorts']> {
	return PORTS.flatMap((port) =>
		(Object.keys(PROTOCOLS) as ProtocolName[]).map((protocol) => ({
			name: `serve-${port}-${protocol.toLowerCase()}`,
			protocol,
			port,
		})),
	);
}

/** Three namespaces labelled ns=x, ns=y, ns=z with three pods labelled pod=a, pod=b, pod=c each; all on node-1. */
export function usualWorld(): MutableWorld {
	const world: MutableWorld = {
		namespaces: new Map(NAMESPACES.map((name) => [name, { name, labels: { ns: name } }])),
		pods: new Map(),
		nodes: new Map([
			['node-1', nodeOf('node-1', ['192.168.0.1', 'fd00:192::1'], { zone: 'one' })],
			['node-2', nodeOf('node-2', ['192.168.0.2', 'fd00:192::2'], { zone: 'two' })],
		]),
		networkPolicies: new Map(),
		clusterNetworkPolicies: new Map(),
		clusterCidrs: ['10.244.0.0/16', 'fd00:244::/48'],
	};
	for (const [n, namespace] of NAMESPACES.entries()) {
		for (const [p, name] of NAMES.entries()) {
			const addresses = [`10.244.${n + 1}.${p + 1}`, `fd00:244:0:${n + 1}::${p + 1}`];
			world.pods.set(`${namespace}/${name}`, podOf(namespace, name, addresses, { namedPorts: usualPorts() }));
		}
	}
	return world;
}

/** The Kubernetes objects that policies were made from. */
const MANIFESTS = new WeakMap<NetworkPolicy | ClusterNetworkPolicy, PolicyManifest>();

export type PolicyManifest = {
	apiVersion: string;
	kind: string;
	metadata: { name: string; namespace?: string; annotations: Record<string, string> };
	spec: object;
};

/** All policies of a world as Kubernetes objects. @throws for a policy that was not made by setNetworkPolicy or setClusterPolicy */
export function policyManifests(world: PolicyWorld): PolicyManifest[] {
	return [...world.networkPolicies.values(), ...world.clusterNetworkPolicies.values()].map((policy) => {
		const manifest = MANIFESTS.get(policy);
		if (manifest === undefined) throw new Error(`policy ${policy.name} has no manifest`);
		return manifest;
	});
}

/** Adds or replaces a NetworkPolicy; `name` is 'namespace/name'. */
export function setNetworkPolicy(world: MutableWorld, name: string, spec: object, audit?: 'audit'): void {
	const [namespace = '', own = ''] = name.split('/');
	const metadata = { namespace, name: own, annotations: auditAnnotations(audit) };
	const policy = requireParsed(parseNetworkPolicy({ metadata, spec }));
	MANIFESTS.set(policy, { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec });
	world.networkPolicies.set(name, policy);
}

/** Adds or replaces a ClusterNetworkPolicy. */
export function setClusterPolicy(world: MutableWorld, name: string, spec: object, audit?: 'audit'): void {
	const metadata = { name, annotations: auditAnnotations(audit) };
	const policy = requireParsed(parseClusterNetworkPolicy({ metadata, spec }));
	const apiVersion = 'policy.networking.k8s.io/v1alpha2';
	MANIFESTS.set(policy, { apiVersion, kind: 'ClusterNetworkPolicy', metadata, spec });
	world.clusterNetworkPolicies.set(name, policy);
}

export function auditAnnotations(audit: 'audit' | undefined): Record<string, string> {
	return audit === undefined ? {} : { [AUDIT_ANNOTATION]: 'true' };
}

/**
 * A line of a truth table: 'deny * > x/a', 'allow y/b,z/* > x/* 80 81/UDP'. Names may be '*'; without ports the line
 * is about all. Later lines count more.
 */
export type TruthLine = string;

interface Truth {
	readonly allow: boolean;
	readonly from: readonly string[];
	readonly to: readonly string[];
	readonly ports: readonly string[];
}

function parseLine(line: TruthLine): Truth {
	const [verb = '', from = '', arrow, to = '', ...ports] = line.split(/\s+/);
	if ((verb !== 'allow' && verb !== 'deny') || arrow !== '>' || to === '') throw new Error(`cannot read '${line}'`);
	return { allow: verb === 'allow', from: from.split(','), to: to.split(','), ports };
}

function nameMatches(patterns: readonly string[], name: string): boolean {
	const [namespace, own] = name.split('/');
	return patterns.some((pattern) => {
		if (pattern === '*') return true;
		const [first, second] = pattern.split('/');
		return (first === '*' || first === namespace) && (second === '*' || second === own);
	});
}

function portMatches(patterns: readonly string[], port: number, protocol: ProtocolName): boolean {
	if (patterns.length === 0) return true;
	return patterns.some((pattern) => {
		const [wantedPort, wantedProtocol] = pattern.split('/');
		const portFits = wantedPort === '*' || Number(wantedPort) === port;
		return portFits && (wantedProtocol === undefined || wantedProtocol === protocol);
	});
}

export interface Probe {
	readonly label: string;
	readonly flow: PolicyFlow;
	readonly allowed: boolean;
}

/** Every pair of pods, port, protocol and address family with what the table says of it; unnamed is allowed, self always. */
export function truthTable(world: PolicyWorld, lines: readonly TruthLine[]): Probe[] {
	const truths = lines.map(parseLine).reverse();
	const probes: Probe[] = [];
	const pods = [...world.pods].filter(([, pod]) => !pod.finished);
	for (const [fromName, from] of pods) {
		for (const [toName, to] of pods) {
			for (const [protocol, proto] of Object.entries(PROTOCOLS) as [ProtocolName, number][]) {
				for (const port of PORTS) {
					const truth = truths.find(
						(each) =>
							nameMatches(each.from, fromName) &&
							nameMatches(each.to, toName) &&
							portMatches(each.ports, port, protocol),
					);
					const allowed = fromName === toName || (truth?.allow ?? true);
					for (const family of [0, 1]) {
						const [source, target] = [from.addresses[family], to.addresses[family]];
						if (source === undefined || target === undefined) continue;
						const label = `${fromName} > ${toName} ${port}/${protocol} IPv${family === 0 ? 4 : 6}`;
						probes.push({ label, flow: { from: source, to: target, proto, port }, allowed });
					}
				}
			}
		}
	}
	return probes;
}

/** One look at the world: changes, then what must be reachable. */
export interface PolicyStep {
	readonly change?: (world: MutableWorld) => void;
	readonly truth: readonly TruthLine[];
	/** Flows beyond those between pods. */
	readonly flows?: readonly { readonly flow: PolicyFlow; readonly allowed: boolean }[];
}

export interface PolicyCase {
	/** A sentence about behaviour. */
	readonly title: string;
	readonly steps: readonly PolicyStep[];
}

/** A case with one step. */
export function policyCase(
	title: string,
	change: (world: MutableWorld) => void,
	truth: readonly TruthLine[],
	flows: PolicyStep['flows'] = [],
): PolicyCase {
	return { title, steps: [{ change, truth, flows }] };
}
