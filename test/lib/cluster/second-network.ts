/**
 * A second network of the nodes of a cluster, by an interface of its own, and two clients that are nowhere else:
 *
 *   eth0 of nodes: the network of topology.ts, with the default route
 *   eth1 of nodes 172.33.1.0/24 …11, …12, packets of up to 1300 bytes ── near client …100
 *                 └── router …1 ── 172.34.0.0/24 far client …10, which also has 172.35.0.10
 *
 * Nodes know of 172.34.0.0/24 only by rules: what they send from an address of the second network, or of services that
 * the second network leads to them, takes table 101, whose default route is that router. 172.35.0.10 is in the main table.
 */
import { join } from 'node:path';
import type { Cluster } from '../cluster.ts';
import { run } from './exec.ts';
import type { ClusterNode } from './node.ts';
import { Place } from './place.ts';
import { ipBatch, setSysctls, WITHOUT_DAD } from './topology.ts';

type Both = { readonly v4: string; readonly v6: string };

/** On the link of the nodes, whose first addresses it reaches by their second ones. */
export const NEAR: Both = { v4: '172.33.1.100', v6: 'fd00:33:1::100' };
/** Behind the router; answers find it by rules alone. */
export const FAR: Both = { v4: '172.34.0.10', v6: 'fd00:34::10' };
/** The same machine under an address that the main tables of the nodes know. */
export const FAR_KNOWN: Both = { v4: '172.35.0.10', v6: 'fd00:35::10' };
export const SECOND_CIDRS = ['172.33.1.0/24', 'fd00:33:1::/64'];
/** Addresses of services, which the second network leads to node 1 and to node 2. */
export const SECOND_VIPS: Record<1 | 2, Both> = {
	1: { v4: '172.29.1.0/24', v6: 'fd00:29:1::/64' },
	2: { v4: '172.29.2.0/24', v6: 'fd00:29:2::/64' },
};
export const SECOND_DEVICE = 'eth1';
export const SECOND_MTU = 1300;
const ROUTER: Both = { v4: '172.33.1.1', v6: 'fd00:33:1::1' };
const FAR_ROUTER: Both = { v4: '172.34.0.1', v6: 'fd00:34::1' };
const TABLE = '101';
const FAMILIES = ['v4', 'v6'] as const;
/** Of a subnet, and of one address. */
const LENGTH = { v4: 24, v6: 64 } as const;
const NO_DAD = { v4: '', v6: ' nodad' } as const;

/** Address of a node in the second network. */
export const secondAddresses = ({ index }: { readonly index: number }): Both => ({
	v4: `172.33.1.${10 + index}`,
	v6: `fd00:33:1::${10 + index}`,
});

export class SecondNetwork {
	readonly near: Place;
	readonly far: Place;
	/** Namespace of the router, which is the switch, too. */
	readonly router: string;
	readonly #cluster: Cluster;

	private constructor(cluster: Cluster) {
		const place = (name: string): Place =>
			new Place({
				name,
				netns: `${cluster.name}-${name}`,
				cgroup: join(cluster.client.cgroup, '..', name),
				dir: join(cluster.dir, name),
			});
		this.#cluster = cluster;
		this.near = place('near');
		this.far = place('far');
		this.router = `${cluster.name}-router2`;
	}

	/** Makes it and plugs in all nodes. `Cluster.destroy` removes it. */
	static async create(cluster: Cluster): Promise<SecondNetwork> {
		const made = new SecondNetwork(cluster);
		await made.#createRouter();
		await made.#createNear();
		await made.#createFar();
		for (const node of cluster.nodes) {
			await made.#addRules(node);
			await made.plug(node);
		}
		return made;
	}

	#ip(netns: string, lines: readonly string[]): Promise<void> {
		return ipBatch(netns, this.#cluster.dir, lines);
	}

	async #addNamespace(netns: string): Promise<void> {
		await run(['ip', 'netns', 'add', netns]);
		await setSysctls(netns, WITHOUT_DAD);
	}

	async #createRouter(): Promise<void> {
		await this.#addNamespace(this.router);
		await setSysctls(this.router, { 'net/ipv4/ip_forward': 1, 'net/ipv6/conf/all/forwarding': 1 });
		await this.#ip(this.router, [
			'link set lo up',
			`link add switch type bridge forward_delay 0 mcast_snooping 0`,
			`link set switch address 02:00:00:33:01:01 up`,
			...FAMILIES.map((f) => `addr add ${ROUTER[f]}/${LENGTH[f]} dev switch${NO_DAD[f]}`),
		]);
	}

	async #createNear(): Promise<void> {
		await this.#addNamespace(this.near.netns);
		await this.#port('near', this.near.netns, 'eth0');
		const first = this.#cluster.nodes.flatMap((node) =>
			FAMILIES.map((f) => `route add ${node.addresses[f]} via ${secondAddresses(node)[f]}`),
		);
		await this.#ip(this.near.netns, [
			'link set lo up',
			'link set eth0 up',
			...FAMILIES.flatMap((f) => [
				`addr add ${NEAR[f]}/${LENGTH[f]} dev eth0${NO_DAD[f]}`,
				...([1, 2] as const).map((i) => `route add ${SECOND_VIPS[i][f]} via ${secondAddresses({ index: i })[f]}`),
			]),
			...first,
		]);
	}

	async #createFar(): Promise<void> {
		await this.#addNamespace(this.far.netns);
		await this.#ip(this.router, [
			`link add far type veth peer name eth0 netns ${this.far.netns}`,
			'link set far up',
			...FAMILIES.flatMap((f) => [
				`addr add ${FAR_ROUTER[f]}/${LENGTH[f]} dev far${NO_DAD[f]}`,
				`route add ${FAR_KNOWN[f]} via ${FAR[f]}`,
				...([1, 2] as const).map((i) => `route add ${SECOND_VIPS[i][f]} via ${secondAddresses({ index: i })[f]}`),
			]),
		]);
		await this.#ip(this.far.netns, [
			'link set lo up',
			'link set eth0 up',
			...FAMILIES.flatMap((f) => [
				`addr add ${FAR[f]}/${LENGTH[f]} dev eth0${NO_DAD[f]}`,
				`addr add ${FAR_KNOWN[f]} dev lo${NO_DAD[f]}`,
				`route add default via ${FAR_ROUTER[f]}`,
			]),
		]);
	}

	/** A cable from the switch into a namespace. */
	async #port(port: string, netns: string, device: string, mac = ''): Promise<void> {
		const peer = `peer name ${device}${mac ? ` address ${mac}` : ''} mtu ${SECOND_MTU} netns ${netns}`;
		await this.#ip(this.router, [
			`link add ${port} mtu ${SECOND_MTU} type veth ${peer}`,
			`link set ${port} master switch up`,
		]);
	}

	async #addRules(node: ClusterNode): Promise<void> {
		const own = secondAddresses(node);
		for (const f of FAMILIES) {
			for (const source of [own[f], SECOND_VIPS[1][f], SECOND_VIPS[2][f]]) {
				await node.run(['ip', f === 'v4' ? '-4' : '-6', 'rule', 'add', 'from', source, 'lookup', TABLE]);
			}
		}
	}

	/** Gives a node its interface; each time it is another one under the same name, MAC and addresses. */
	async plug(node: ClusterNode): Promise<void> {
		const own = secondAddresses(node);
		await this.#port(node.name, node.netns, SECOND_DEVICE, `02:00:00:33:01:1${node.index}`);
		await this.#ip(node.netns, [
			`link set ${SECOND_DEVICE} up`,
			...FAMILIES.flatMap((f) => [
				`addr add ${own[f]}/${LENGTH[f]} dev ${SECOND_DEVICE}${NO_DAD[f]}`,
				`route add ${FAR_KNOWN[f]} via ${ROUTER[f]} dev ${SECOND_DEVICE}`,
				`route add default via ${ROUTER[f]} dev ${SECOND_DEVICE} table ${TABLE}`,
			]),
		]);
	}

	/** Takes the interface from a node, and with it addresses and routes. */
	async unplug(node: ClusterNode): Promise<void> {
		await node.run(['ip', 'link', 'del', SECOND_DEVICE]);
	}

	/** Takes the carrier from a node's interface, or gives it back. */
	async setLink(node: ClusterNode, state: 'up' | 'down'): Promise<void> {
		await run(['ip', '-n', this.router, 'link', 'set', node.name, state]);
	}

	/** Limits packets from the router to the far client to `mtu` bytes, under both of its addresses; undefined = no more. */
	async limitFar(mtu: number | undefined): Promise<void> {
		const lines = FAMILIES.flatMap((f) =>
			[FAR[f], FAR_KNOWN[f]].map((to) => {
				const way = to === FAR[f] ? 'dev far' : `via ${FAR[f]} dev far`;
				if (mtu !== undefined) return `route replace ${to} ${way} mtu lock ${mtu}`;
				return to === FAR[f] ? `route del ${to} dev far` : `route replace ${to} ${way}`;
			}),
		);
		await this.#ip(this.router, lines);
	}
}
