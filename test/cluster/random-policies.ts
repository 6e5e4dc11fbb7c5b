/** Random policies of both kinds for the pods of a cluster of two nodes, and what they say of its connections. */
import { parseClusterNetworkPolicy } from '../../agent/model/cluster-network-policy.ts';
import { parseNetworkPolicy } from '../../agent/model/network-policy.ts';
import type { KubeObject } from '../lib/cluster.ts';
import { CLIENT } from '../lib/cluster.ts';
import { ECHO_PORT, HOST_ECHO_PORT } from '../lib/echo-cluster.ts';
import type { Random } from '../lib/packet/mutate.ts';
import type { PolicyWorld } from '../lib/policy-simulator.ts';
import { nodeOf, podOf, requireParsed } from '../lib/policy-world.ts';
import { type Home, PORTS, PROTOCOLS } from './random-services.ts';

export const NAMESPACE = { name: 'default', labels: { 'kubernetes.io/metadata.name': 'default', team: 'x' } } as const;
const ROLES = ['a', 'b'] as const;

/** Those of a pod by its name. */
export function labelsOf(name: string): Record<string, string> {
	return { app: name, role: ROLES[(name.codePointAt(0) ?? 0) % ROLES.length] ?? '' };
}

/** Ports of every pod by name; there is another one of that name over UDP, which is none of the server's. */
export const NAMED_PORTS = [
	{ name: 'echo', protocol: 'TCP', port: ECHO_PORT },
	{ name: 'other', protocol: 'UDP', port: HOST_ECHO_PORT },
] as const;

const oneIn = (random: Random, n: number): boolean => random.next(n) === 0;
const upTo = <T>(random: Random, most: number, make: () => T): T[] =>
	Array.from({ length: random.next(most + 1) }, make);

class Maker {
	readonly #random: Random;
	readonly #homes: readonly Home[];
	/** Addresses and networks, of both families in turn. */
	readonly #blocks: readonly string[];

	constructor(random: Random, homes: readonly Home[]) {
		this.#random = random;
		this.#homes = homes;
		const single = homes.flatMap(({ addresses }) => addresses).concat(CLIENT.v4, CLIENT.v6);
		this.#blocks = [
			...single.map((address) => `${address}/${address.includes(':') ? 128 : 32}`),
			...['10.244.0.0/16', 'fd00:244::/32', '0.0.0.0/0', '::/0', '0.0.0.0/0', '::/0', '10.96.0.0/12', 'fd00:96::/112'],
		];
	}

	networkPolicy(name: string): KubeObject {
		const types = (['Ingress', 'Egress'] as const).filter(() => !oneIn(this.#random, 3));
		const policyTypes = types.length > 0 ? types : ['Ingress'];
		const sides = Object.fromEntries(
			policyTypes.map((type) => {
				const peers = type === 'Ingress' ? 'from' : 'to';
				return [type.toLowerCase(), upTo(this.#random, 3, () => this.#rule(peers))];
			}),
		);
		return {
			...{ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy' },
			metadata: { name, namespace: NAMESPACE.name },
			spec: { podSelector: this.#pods(), policyTypes, ...sides },
		};
	}

	#rule(peers: 'from' | 'to'): object {
		return {
			...(!oneIn(this.#random, 4) && { [peers]: upTo(this.#random, 3, () => this.#peer()) }),
			...(!oneIn(this.#random, 2) && { ports: upTo(this.#random, 2, () => this.#port()) }),
		};
	}

	#peer(): object {
		switch (this.#random.next(4)) {
			case 0:
				return { podSelector: this.#pods() };
			case 1:
				return { namespaceSelector: this.#namespaces() };
			default:
				return { ipBlock: this.#block() };
		}
	}

	#block(): object {
		const cidr = this.#random.pick(this.#blocks);
		if (!cidr.endsWith('/0') || oneIn(this.#random, 2)) return { cidr };
		const inside = this.#blocks.filter((each) => each.includes(':') === cidr.includes(':') && !each.endsWith('/0'));
		return { cidr, except: [this.#random.pick(inside)] };
	}

	#port(): object {
		const protocol = this.#random.pick(PROTOCOLS);
		switch (this.#random.next(5)) {
			case 0:
				return { protocol };
			case 1:
				return { protocol, port: this.#random.pick(NAMED_PORTS).name };
			case 2:
				return {
					protocol,
					port: this.#random.pick([80, 6500, ECHO_PORT]),
					endPort: this.#random.pick([ECHO_PORT, 32_767]),
				};
			default:
				return { protocol, port: this.#random.pick([ECHO_PORT, ECHO_PORT, HOST_ECHO_PORT, PORTS[protocol]]) };
		}
	}

	#pods(): object {
		const { name } = this.#random.pick(this.#homes.filter(({ kind }) => kind === 'pod'));
		const { app, role } = labelsOf(name);
		return this.#random.pick([
			{},
			{ matchLabels: { app } },
			{ matchLabels: { role } },
			{ matchExpressions: [{ key: 'app', operator: 'NotIn', values: [app] }] },
		]);
	}

	#namespaces(): object {
		return this.#random.pick([{}, { matchLabels: { team: 'x' } }, { matchLabels: { team: 'y' } }]);
	}

	clusterPolicy(name: string): KubeObject {
		const pods = () => ({ pods: { namespaceSelector: this.#namespaces(), podSelector: this.#pods() } });
		const some = () => (oneIn(this.#random, 3) ? { namespaces: this.#namespaces() } : pods());
		const outgoing = () => (oneIn(this.#random, 2) ? some() : { networks: [this.#random.pick(this.#blocks)] });
		const rules = (side: 'from' | 'to'): object[] =>
			upTo(this.#random, 3, () => ({
				action: this.#random.pick(['Accept', 'Deny', 'Pass']),
				[side]: [side === 'from' ? some() : outgoing()],
				...(oneIn(this.#random, 2) && { protocols: [this.#clusterPort()] }),
			}));
		return {
			...{ apiVersion: 'policy.networking.k8s.io/v1alpha2', kind: 'ClusterNetworkPolicy' },
			metadata: { name },
			spec: {
				tier: this.#random.pick(['Admin', 'Baseline']),
				priority: this.#random.next(1000),
				...{ subject: pods(), ingress: rules('from'), egress: rules('to') },
			},
		};
	}

	#clusterPort(): object {
		const protocol = this.#random.pick(PROTOCOLS).toLowerCase();
		const [number, end] = [this.#random.pick([80, ECHO_PORT, HOST_ECHO_PORT]), 32_767];
		return { [protocol]: { destinationPort: oneIn(this.#random, 2) ? { number } : { range: { start: number, end } } } };
	}
}

/** None in the first round. Some change nothing, some cut a pod off from everybody. The last one is about no pod. */
export function randomPolicies(random: Random, homes: readonly Home[], round: number): KubeObject[] {
	if (round === 0) return [lastPolicy(round)];
	const maker = new Maker(random, homes);
	return [
		...[1, 2, 3].filter(() => !oneIn(random, 3)).map((n) => maker.networkPolicy(`random-${n}`)),
		...[1, 2].filter(() => oneIn(random, 2)).map((n) => maker.clusterPolicy(`random-${n}`)),
		lastPolicy(round),
	];
}

function lastPolicy(round: number): KubeObject {
	return {
		...{ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy' },
		metadata: { name: `round-${round}`, namespace: NAMESPACE.name },
		spec: { podSelector: { matchLabels: { app: 'nobody' } } },
	};
}

/** What the simulator of policies is asked about. */
export function policyWorldOf(policies: readonly KubeObject[], homes: readonly Home[]): PolicyWorld {
	const nodes = homes.filter(({ kind }) => kind === 'host');
	const pods = homes.filter(({ kind }) => kind === 'pod');
	const network = policies.filter(({ kind }) => kind === 'NetworkPolicy');
	const cluster = policies.filter(({ kind }) => kind === 'ClusterNetworkPolicy');
	return {
		namespaces: new Map([[NAMESPACE.name, { name: NAMESPACE.name, labels: { ...NAMESPACE.labels } }]]),
		nodes: new Map(nodes.map(({ name, addresses }) => [name, nodeOf(name, addresses)])),
		pods: new Map(
			pods.map(({ name, node, addresses }) => {
				const over = { labels: labelsOf(name), node: `node${node}`, namedPorts: NAMED_PORTS };
				return [`${NAMESPACE.name}/${name}`, podOf(NAMESPACE.name, name, addresses, over)];
			}),
		),
		networkPolicies: new Map(network.map((p) => [p.metadata.name, requireParsed(parseNetworkPolicy(p))])),
		clusterNetworkPolicies: new Map(cluster.map((p) => [p.metadata.name, requireParsed(parseClusterNetworkPolicy(p))])),
		clusterCidrs: [],
	};
}
