/** A large world for benchmarks: many namespaces, policies of usual shapes, and a share of the pods on this node. */
import { parseClusterNetworkPolicy } from '../../agent/model/cluster-network-policy.ts';
import { parseNetworkPolicy } from '../../agent/model/network-policy.ts';
import type { Pod } from '../../agent/model/pod.ts';
import { type MutableWorld, nodeOf, podOf, requireParsed } from './policy-world.ts';

export interface ScaleOptions {
	readonly namespaces: number;
	readonly podsPerNamespace: number;
	readonly policiesPerNamespace: number;
	/** One of so many pods is on node-1. */
	readonly localOneIn: number;
}

const APPS = 10;

export function scalePod(
	options: ScaleOptions,
	namespace: number,
	n: number,
	labels: Record<string, string> = {},
): Pod {
	const at = namespace * options.podsPerNamespace + n;
	const address = `10.${64 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`;
	const own = { app: `app-${n % APPS}`, tier: n % 2 === 0 ? 'front' : 'back', 'pod-template-hash': `h${n % APPS}` };
	const node = (at * 13 + namespace) % options.localOneIn === 0 ? 'node-1' : `node-${2 + (at % 50)}`;
	const namedPorts = [{ name: 'http', protocol: 'TCP' as const, port: 8080 }];
	return podOf(`ns-${namespace}`, `p-${n}`, [address], { labels: { ...own, ...labels }, node, namedPorts });
}

function specOf(namespace: number, n: number): object {
	const app = (k: number) => ({ matchLabels: { app: `app-${k % APPS}` } });
	const other = { matchLabels: { 'kubernetes.io/metadata.name': `ns-${namespace + n}` } };
	switch (n % 5) {
		case 0:
			return { podSelector: {}, policyTypes: ['Ingress'] };
		case 1:
			return { podSelector: app(n), ingress: [{ from: [{ podSelector: app(n + 1) }], ports: [{ port: 'http' }] }] };
		case 2: {
			const from = [{ namespaceSelector: { matchLabels: { team: `t${n % 4}` } }, podSelector: app(n) }];
			return { podSelector: app(n), ingress: [{ from, ports: [{ port: 8080 }, { port: 9000, endPort: 9100 }] }] };
		}
		case 3: {
			const to = [{ ipBlock: { cidr: `10.${namespace % 200}.0.0/16`, except: [`10.${namespace % 200}.${n}.0/24`] } }];
			return { podSelector: app(n), policyTypes: ['Egress'], egress: [{ to }, { to: [{ namespaceSelector: other }] }] };
		}
		default:
			return {
				podSelector: { matchLabels: { tier: 'back' } },
				ingress: [{ from: [{ namespaceSelector: {} }], ports: [{ port: 80 + n }] }],
			};
	}
}

export function scaleWorld(options: ScaleOptions): MutableWorld {
	const world: MutableWorld = {
		namespaces: new Map(),
		pods: new Map(),
		nodes: new Map([['node-1', nodeOf('node-1', ['192.168.0.1'])]]),
		networkPolicies: new Map(),
		clusterNetworkPolicies: new Map(),
		clusterCidrs: ['10.64.0.0/10'],
	};
	for (let i = 2; i < 52; i++) world.nodes.set(`node-${i}`, nodeOf(`node-${i}`, [`192.168.0.${i}`]));
	for (let s = 0; s < options.namespaces; s++) {
		const name = `ns-${s}`;
		world.namespaces.set(name, { name, labels: { team: `t${s % 4}` } });
		for (let n = 0; n < options.podsPerNamespace; n++) world.pods.set(`${name}/p-${n}`, scalePod(options, s, n));
		for (let n = 0; n < options.policiesPerNamespace; n++) {
			const metadata = { namespace: name, name: `np-${n}` };
			world.networkPolicies.set(`${name}/np-${n}`, requireParsed(parseNetworkPolicy({ metadata, spec: specOf(s, n) })));
		}
	}
	const dns = { namespaces: { matchLabels: { 'kubernetes.io/metadata.name': 'ns-0' } } };
	const spec = {
		tier: 'Admin',
		priority: 1,
		subject: { namespaces: {} },
		egress: [
			{ action: 'Accept', to: [dns], protocols: [{ udp: { destinationPort: { number: 53 } } }] },
			{ action: 'Deny', to: [{ networks: ['169.254.169.254/32'] }] },
		],
	};
	const policy = requireParsed(parseClusterNetworkPolicy({ metadata: { name: 'admin' }, spec }));
	world.clusterNetworkPolicies.set('admin', policy);
	return world;
}
