/**
 * Two nodes with pods whose policies are tested: `server`, `client` and `other` on the first, `far` and `backend` on the second; a probe
 * in each, on both nodes and on the client outside; and a service before `server`.
 */
import { join } from 'node:path';
import { afterEach, beforeAll, expect } from 'vitest';
import { type ControlledProbe, controlledProbe } from './cluster/control.ts';
import { useCluster } from './cluster/use.ts';
import { type Cluster, eventually, type Family, type KubeObject, type Place, type Pod } from './cluster.ts';
import type { PolicyQuestion } from './programs/policy-probe.ts';

const PROGRAM = join(import.meta.dirname, 'programs', 'policy-probe.ts');
const NODE = join(import.meta.dirname, '..', '..', 'node_modules', '.bin', 'node');
export const FAMILIES = ['IPv4', 'IPv6'] as const;
export const PROTOCOLS = ['TCP', 'UDP'] as const;
/** The probes serve both; `web` is the name of the first in pods of namespace x. */
export const [WEB, OTHER] = [7000, 7001];
const NODE_PORT = 31_000;
export const VIP: Record<Family, string> = { IPv4: '10.96.7.1', IPv6: 'fd00:96::701' };
/** An echo server of one pod, and where the service leads to it. */
export const [ECHO, ECHO_SERVICE_PORT] = [9000, 90];
/** A question that is not answered; an answer that is late is asked for again. */
export const SILENCE_MS = 400;

export type Member = 'server' | 'client' | 'other' | 'far' | 'backend';
export type Who = Member | 'node1' | 'node2' | 'outside';

/** Namespace, node and labels. `backend` is on the other node. */
export const PODS: Record<Member, [string, number, Record<string, string>]> = {
	server: ['x', 1, { app: 'server' }],
	client: ['x', 1, { app: 'client' }],
	other: ['y', 1, { app: 'client' }],
	far: ['y', 2, { app: 'far' }],
	backend: ['x', 2, { app: 'server' }],
};

export interface Asked {
	readonly from: Who;
	readonly to: string;
	readonly port?: number;
	readonly protocols?: readonly ('TCP' | 'UDP')[];
	readonly hosts: (family: Family) => string;
}

/** Makes the cluster for the enclosing block; policies are removed after each test. */
export function usePolicyNodes(routing: 'vxlan' | 'direct') {
	const pods = new Map<Member, Pod>();
	const probes = new Map<Who, ControlledProbe>();
	const applied = new Map<string, KubeObject>();
	const cluster = useCluster({ routing }, setUp);

	async function setUp(made: Cluster): Promise<void> {
		for (const name of ['x', 'y']) {
			made.objects.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { team: name } } });
		}
		const members = Object.entries(PODS) as [Member, (typeof PODS)[Member]][];
		await Promise.all(
			members.map(async ([name, [namespace, node, labels]]) => {
				const pod = await made.createPod({ node: made.node(node), name, namespace, labels });
				pods.set(name, pod);
				made.objects.apply(podObject(pod, labels));
				probes.set(name, await startProbe(made, pod, name));
			}),
		);
		await pod('server').startEcho(ECHO);
		const places = { node1: made.node(1), node2: made.node(2), outside: made.client } as const;
		await Promise.all(
			(['node1', 'node2', 'outside'] as const).map(async (who) => {
				probes.set(who, await startProbe(made, places[who], who));
			}),
		);
		const ports = PROTOCOLS.map((protocol, i) => ({ port: 80, targetPort: WEB, protocol, nodePort: NODE_PORT + i }));
		const clusterIPs = FAMILIES.map((family) => VIP[family]);
		const named = ports.map((port) => ({ ...port, name: port.protocol.toLowerCase() }));
		const echo = { name: 'echo', port: ECHO_SERVICE_PORT, targetPort: ECHO };
		const service = { name: 'web', namespace: 'x', type: 'NodePort', clusterIPs, ports: [...named, echo] } as const;
		made.publish(service, [pod('server')]);
	}

	async function startProbe(made: Cluster, place: Place, who: Who): Promise<ControlledProbe> {
		const socket = join(made.dir, `probe-${who}.sock`);
		place.start('probe', [NODE, PROGRAM, socket, String(WEB), String(OTHER)]);
		return controlledProbe(socket);
	}

	function podObject(pod: Pod, labels: Record<string, string>): KubeObject {
		const ports = [{ name: 'web', containerPort: WEB, protocol: 'TCP' }];
		return pod.object(labels, ports);
	}

	function pod(name: Member): Pod {
		const found = pods.get(name);
		if (found === undefined) throw new Error(`there is no pod ${name}`);
		return found;
	}

	function relabel(name: Member, labels: Record<string, string>): void {
		cluster().objects.apply(podObject(pod(name), labels));
	}

	const toPod = (from: Who, to: Member, port = WEB, protocols: Asked['protocols'] = PROTOCOLS): Asked => {
		return { from, to, port, protocols, hosts: (family) => pod(to).address(family) };
	};
	const toService = (from: Who): Asked => ({ from, to: 'the service', port: 80, hosts: (family) => VIP[family] });
	const toNodePort = (from: Who, node: 1 | 2): Asked => {
		const { v4, v6 } = cluster().node(node).addresses;
		return { from, to: `the node port of node${node}`, hosts: (family) => (family === 'IPv4' ? v4 : v6) };
	};

	/** Which of these are answered otherwise than they should be. */
	async function wrong(asked: readonly Asked[], expected: boolean): Promise<string[]> {
		const byWho = Map.groupBy(asked, ({ from }) => from);
		const found = [...byWho].map(async ([from, list]) => {
			const questions = list.flatMap(({ hosts, to, port, protocols = PROTOCOLS }) =>
				FAMILIES.flatMap((family) =>
					protocols.map((protocol) => {
						const own = port ?? NODE_PORT + PROTOCOLS.indexOf(protocol);
						return { to, question: { host: hosts(family), port: own, protocol, timeoutMs: SILENCE_MS } };
					}),
				),
			);
			const answers = await probes.get(from)?.ask(questions.map(({ question }): PolicyQuestion => question));
			return questions.flatMap(({ to, question: { host, port, protocol } }, i) =>
				answers?.[i] === expected ? [] : [`${from} to ${to} ${host} ${port}/${protocol}`],
			);
		});
		return (await Promise.all(found)).flat();
	}

	/** Waits until exactly the first ones are answered. */
	async function settled(open: readonly Asked[], closed: readonly Asked[]): Promise<void> {
		await eventually('policies are as expected', async () => {
			const [cut, leaked] = [await wrong(open, true), await wrong(closed, false)];
			expect({ cut, leaked }).toEqual({ cut: [], leaked: [] });
		});
	}

	function apply(object: KubeObject): void {
		cluster().objects.apply(object);
		applied.set(`${object.kind} ${object.metadata.namespace} ${object.metadata.name}`, object);
	}

	function policy(name: string, namespace: string, spec: Record<string, unknown>): void {
		apply({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name, namespace }, spec });
	}

	function clusterPolicy(name: string, spec: Record<string, unknown>): void {
		const apiVersion = 'policy.networking.k8s.io/v1alpha2';
		apply({ apiVersion, kind: 'ClusterNetworkPolicy', metadata: { name }, spec });
	}

	function removePolicies(): void {
		for (const { kind, metadata } of applied.values())
			cluster().objects.remove(kind, metadata.name, metadata.namespace);
		applied.clear();
	}

	const everybody = (): Asked[] => [
		...(['client', 'other', 'far', 'node1', 'node2'] as const).map((from) => toPod(from, 'server')),
		...(['client', 'other', 'far', 'node1', 'node2', 'server'] as const).map(toService),
		toNodePort('outside', 1),
		toNodePort('outside', 2),
		toNodePort('far', 1),
	];
	/** What remains when nobody may come in. */
	const always = (): Asked[] => [toPod('node1', 'server'), toPod('server', 'server'), toService('node1')];

	beforeAll(() => settled(everybody(), []));
	afterEach(removePolicies);

	return {
		...{ cluster, pod, relabel, toPod, toService, toNodePort, settled, policy, clusterPolicy, removePolicies },
		...{ everybody, always },
	};
}
