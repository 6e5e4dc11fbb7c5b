/** From a world of Kubernetes objects to maps, by the agent's own parsers, planners and reconcilers. */
import type { Attachment } from '../../agent/endpoints/attachment.ts';
import { EndpointRows, UNKNOWN_POD } from '../../agent/endpoints/endpoint-rows.ts';
import { addressOfBytes } from '../../agent/model/address.ts';
import type { NodeFacts } from '../../agent/model/node-facts.ts';
import { planPeers } from '../../agent/plan/peers.ts';
import { planServices } from '../../agent/plan/services.ts';
import { writeInside } from '../../agent/reconcile/inside-bits.ts';
import type { Kernel, MapName } from '../../agent/reconcile/kernel.ts';
import { reconcilePeers } from '../../agent/reconcile/nodes.ts';
import { PortBitmap } from '../../agent/reconcile/port-bitmap.ts';
import { ServicesReconciler } from '../../agent/reconcile/services.ts';
import { PeerIndex } from '../../agent/reconcile/services-peers.ts';
import { readObject } from '../../agent/sources/objects.ts';
import { ClusterStore } from '../../agent/sources/store.ts';
import { FakeKernel } from '../lib/fake-kernel.ts';
import { hasPrimaryNodePorts, type RulesWorld } from '../lib/service-rules.ts';
import { LOCAL_PODS, PEERS } from './geography.ts';

/** ifindexes that the rows name. */
export interface WorldDevices {
	readonly uplink: number;
	readonly overlay: number;
	/** Host side of each of LOCAL_PODS. */
	readonly pods: readonly number[];
}

const SOME_DEVICES: WorldDevices = { uplink: 2, overlay: 9, pods: [11, 12] };

/** Small, because every element of an array map is looked at. */
export function smallKernel(over: Partial<Record<MapName, number>> = {}): FakeKernel {
	const sizes = { nodes: 8, endpoints: 8, backends: 512, slots: 4096, affinity: 1024 };
	return new FakeKernel({ capacity: { ...sizes, ...over } });
}

function storeOf(world: RulesWorld): ClusterStore {
	const store = new ClusterStore();
	for (const raw of [...world.services, ...world.slices]) {
		const result = readObject(raw);
		if (result.outcome !== 'object') throw new Error(`refused: ${JSON.stringify(result)}`);
		store.set(result.object.kind, result.object.key, result.object.value);
	}
	return store;
}

function factsOf({ node }: RulesWorld, devices: WorldDevices): NodeFacts {
	return {
		name: node.name,
		zone: node.zone ?? '',
		addresses: node.addresses,
		localAddresses: node.localAddresses,
		podCidrs: node.podCidrs,
		uplink: { name: 'uplink', ifindex: devices.uplink, mtu: 1500, addresses: [] },
		moreUplinks: [],
	};
}

/** The peer and endpoint tables, which services do not change, and who owns which address. */
export function writePeers(world: RulesWorld, kernel: Kernel, devices: WorldDevices = SOME_DEVICES): PeerIndex {
	const index = new PeerIndex();
	const plan = planPeers(PEERS, factsOf(world, devices), world);
	const { problems, assignments } = reconcilePeers(
		plan,
		{ uplinkIfindex: devices.uplink, overlayIfindex: devices.overlay },
		kernel,
	);
	if (problems.length > 0) throw new Error(problems.join('\n'));
	index.setNodes(plan, assignments);
	writeInside(plan, kernel);
	const rows = new EndpointRows(kernel);
	for (const [n, pod] of LOCAL_PODS.entries()) {
		rows.claim(pod.index);
		rows.write(attachmentOf(pod), devices.pods[n] ?? 0, UNKNOWN_POD);
	}
	index.setPods(LOCAL_PODS.map(({ index: row, addresses }) => ({ index: row, gen: 1, addresses })));
	return index;
}

function attachmentOf({ index, addresses, mac, hostMac }: (typeof LOCAL_PODS)[number]): Attachment {
	return {
		...{ version: 1, containerId: `pod-${index}`, ifname: 'eth0', network: 'fairlead', mode: 'veth', bootId: '' },
		...{ netns: { path: '', dev: 0, ino: 0 }, pod: null, index, gen: 1, addresses: [...addresses], mac, hostMac },
		...{ hostIfname: `fl${index}`, mtu: 1450, hostPorts: [], createdAtMs: 0 },
	};
}

/** Keeps maps equal to one world after the other. */
export class WorldPlanner {
	readonly kernel: Kernel;
	readonly #reconciler: ServicesReconciler;

	constructor(world: RulesWorld, kernel: Kernel = smallKernel(), devices: WorldDevices = SOME_DEVICES) {
		this.kernel = kernel;
		const peers = writePeers(world, kernel, devices);
		const own = new Set(world.node.localAddresses);
		const ports = new PortBitmap(kernel, (address) => own.has(addressOfBytes(address)));
		this.#reconciler = new ServicesReconciler({ kernel: ports.follow(), peerOf: (address) => peers.of(address) });
	}

	/** Makes the service maps say what the world's services want. */
	async plan(world: RulesWorld): Promise<void> {
		const { name, addresses, localAddresses } = world.node;
		const plans = planServices(storeOf(world), [], {
			node: { name, zone: world.node.zone ?? '', addresses, localAddresses },
			nodePortAddresses: world.node.nodePortAddresses,
			...(world.externalIps !== undefined && { externalIps: world.externalIps }),
			...(world.proxyName !== undefined && { proxyName: world.proxyName }),
			...(world.lbAlgorithm !== undefined && { lbAlgorithm: world.lbAlgorithm }),
			...(world.dsr !== undefined && { dsr: world.dsr }),
			nodePortDsr: hasPrimaryNodePorts(world),
		});
		const { problems } = await this.#reconciler.replaceAll(plans);
		if (problems.length > 0) throw new Error(problems.join('\n'));
		this.#reconciler.reclaim();
	}
}

/** The objects and settings of a world, one a line, to be pasted into a test of its own. */
export function describeWorld({ services, slices, node, externalIps, lbAlgorithm, dsr }: RulesWorld): string {
	const settings = { zone: node.zone, nodePorts: node.nodePortAddresses, externalIps, lbAlgorithm, dsr };
	return [...services, ...slices, settings].map((object) => JSON.stringify(object)).join('\n');
}
