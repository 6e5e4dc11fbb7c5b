/**
 * The worlds of test/policy-cases on a real cluster of two nodes: namespaces x and z on the first, y on the second, three pods each,
 * two ports, TCP and UDP (the kernel has no SCTP sockets), IPv4 and IPv6. Blocks of addresses are translated: that of namespace y is the
 * second node's pod CIDR.
 */
import { join } from 'node:path';
import { type ControlledProbe, controlledProbe } from './cluster/control.ts';
import { nodeAddresses } from './cluster/topology.ts';
import { Cluster, type ClusterNode, eventually, type KubeObject, type Pod } from './cluster.ts';
import { type MutableWorld, PORTS, type PolicyCase, policyManifests, truthTable, usualWorld } from './policy-world.ts';
import type { PolicyQuestion } from './programs/policy-probe.ts';

const PROGRAM = join(import.meta.dirname, 'programs', 'policy-probe.ts');
const NODE = join(import.meta.dirname, '..', '..', 'node_modules', '.bin', 'node');
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;
/** A denied question must wait; an allowed one is answered long before, and asked again when it was not. */
const SILENCE_MS = 500;
const SETTLED_MS = 30_000;

interface Member {
	readonly pod: Pod;
	readonly probe: ControlledProbe;
	/** Addresses in the world of the cases. */
	readonly named: readonly string[];
}

interface Asked {
	readonly label: string;
	readonly from: string;
	readonly question: PolicyQuestion;
	readonly allowed: boolean;
}

/** Why a case cannot be asked of real pods; undefined = it can. */
export function whyNotOnCluster(each: PolicyCase): string | undefined {
	const world = usualWorld();
	const shape = (): string =>
		JSON.stringify([
			[...world.pods].map(([name, { labels: _, ...rest }]) => [name, rest]),
			[...world.nodes],
			[...world.namespaces.keys()],
		]);
	const before = shape();
	for (const { change } of each.steps) {
		change?.(world);
		if (shape() !== before) return 'changes more than labels and policies';
	}
	return undefined;
}

export class PolicyCluster {
	readonly #cluster: Cluster;
	readonly #members: ReadonlyMap<string, Member>;
	/** Kind and name → what is applied. */
	#applied = new Map<string, string>();

	private constructor(cluster: Cluster, members: ReadonlyMap<string, Member>) {
		this.#cluster = cluster;
		this.#members = members;
	}

	static async create(routing: 'vxlan' | 'direct'): Promise<PolicyCluster> {
		const cluster = await Cluster.create({ nodes: 2, routing });
		try {
			const world = usualWorld();
			const made = [...world.pods].map(async ([key, { namespace, name, addresses, labels }]) => {
				const node = nodeOf(cluster, namespace);
				const pod = await cluster.createPod({ node, name, namespace, labels: { ...labels } });
				const socket = join(cluster.dir, `probe-${namespace}-${name}.sock`);
				pod.start(`probe-${namespace}`, [NODE, PROGRAM, socket, ...PORTS.map(String)]);
				return [key, { pod, probe: await controlledProbe(socket), named: addresses }] as const;
			});
			return new PolicyCluster(cluster, new Map(await Promise.all(made)));
		} catch (error) {
			cluster.saveLogs();
			await cluster.destroy();
			throw error;
		}
	}

	/** Goes through the steps of a case; throws what was reachable and should not have been, or the other way round. */
	async check({ title, steps }: PolicyCase): Promise<void> {
		const world = usualWorld();
		for (const [n, { change, truth }] of steps.entries()) {
			change?.(world);
			this.#apply(world);
			const asked = this.#questions(world, truth);
			await eventually(
				`${title}, step ${n}`,
				async () => {
					const wrong = await this.#ask(asked);
					if (wrong.length > 0)
						throw new Error(`${wrong.length} of ${asked.length} differ: ${wrong.slice(0, 8).join('; ')}`);
				},
				{ timeoutMs: SETTLED_MS },
			);
		}
	}

	saveLogs(): string {
		return this.#cluster.saveLogs();
	}

	async destroy(): Promise<void> {
		for (const { probe } of this.#members.values()) probe.close();
		await this.#cluster.destroy();
	}

	#apply(world: MutableWorld): void {
		const wanted = new Map<string, KubeObject>();
		const keep = (object: KubeObject) =>
			wanted.set(`${object.kind}|${object.metadata.namespace ?? ''}|${object.metadata.name}`, object);
		for (const { name, labels } of world.namespaces.values()) {
			keep({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { ...labels } } });
		}
		for (const [key, pod] of world.pods) keep(this.#podObject(key, { ...pod.labels }));
		for (const manifest of policyManifests(world)) keep(this.#translated(manifest));
		const next = new Map([...wanted].map(([id, object]) => [id, JSON.stringify(object)]));
		for (const id of this.#applied.keys()) {
			if (next.has(id)) continue;
			const [kind = '', namespace = '', name = ''] = id.split('|');
			this.#cluster.objects.remove(kind, name, namespace === '' ? undefined : namespace);
		}
		for (const [id, object] of wanted) {
			if (this.#applied.get(id) !== next.get(id)) this.#cluster.objects.apply(object);
		}
		this.#applied = next;
	}

	#podObject(key: string, labels: Record<string, string>): KubeObject {
		const { pod } = this.#member(key);
		const ports = PORTS.flatMap((containerPort) =>
			PROTOCOLS.map((protocol) => ({
				name: `serve-${containerPort}-${protocol.toLowerCase()}`,
				containerPort,
				protocol,
			})),
		);
		return pod.object(labels, ports);
	}

	/** Addresses of the cases → those of this cluster. */
	#translated(manifest: KubeObject): KubeObject {
		const second = nodeAddresses(2, 0);
		const own = new Map([
			['10.244.2.0/24', second.podCidr4],
			['fd00:244:0:2::/64', second.podCidr6],
			['fd00:244::/48', 'fd00:244::/32'],
		]);
		for (const { pod, named } of this.#members.values()) {
			for (const [i, family] of this.#cluster.families.entries()) {
				const length = family === 'IPv4' ? 32 : 128;
				own.set(`${named[i]}/${length}`, `${pod.address(family)}/${length}`);
			}
		}
		const text = JSON.stringify(manifest).replaceAll(
			/"([0-9a-f.:]+\/\d+)"/g,
			(_, cidr: string) => `"${own.get(cidr) ?? cidr}"`,
		);
		return JSON.parse(text) as KubeObject;
	}

	#questions(world: MutableWorld, truth: readonly string[]): Asked[] {
		return truthTable(world, truth).flatMap(({ label, flow, allowed }) => {
			const protocol = flow.proto === 6 ? 'TCP' : flow.proto === 17 ? 'UDP' : undefined;
			const [from, to] = [this.#byAddress(flow.from), this.#byAddress(flow.to)];
			if (protocol === undefined) return [];
			const host = to.member.pod.address(flow.to.includes(':') ? 'IPv6' : 'IPv4');
			const question = { host, port: flow.port, protocol, timeoutMs: SILENCE_MS } as const;
			return [{ label, from: from.key, question, allowed }];
		});
	}

	async #ask(asked: readonly Asked[]): Promise<string[]> {
		const byPod = Map.groupBy(asked, ({ from }) => from);
		const wrong = [...byPod].map(async ([from, list]) => {
			const answers = await this.#member(from).probe.ask(list.map(({ question }) => question));
			return list.flatMap(({ label, allowed }, i) =>
				answers[i] === allowed ? [] : [`${label} was ${answers[i] ? 'answered' : 'not answered'}`],
			);
		});
		return (await Promise.all(wrong)).flat();
	}

	#byAddress(address: string): { readonly key: string; readonly member: Member } {
		for (const [key, member] of this.#members) if (member.named.includes(address)) return { key, member };
		throw new Error(`nobody has address ${address}`);
	}

	#member(key: string): Member {
		const found = this.#members.get(key);
		if (found === undefined) throw new Error(`there is no pod ${key}`);
		return found;
	}
}

function nodeOf(cluster: Cluster, namespace: string): ClusterNode {
	return cluster.node(namespace === 'y' ? 2 : 1);
}
