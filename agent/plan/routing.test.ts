import { describe, expect, it } from 'vitest';
import { IdentityName, PeerKindName } from '../../native/abi/generated.ts';
import { FACTS, ROUTING } from '../../test/lib/cluster-builder.ts';
import type { Node } from '../model/node.ts';
import { planPeers } from './peers.ts';
import type { RoutingMode, RoutingSettings } from './routing.ts';
import { planRouting } from './routing.ts';

function node(name: string, internalIps: string[], podCidrs: string[]): Node {
	return { name, labels: {}, zone: '', internalIps, externalIps: [], podCidrs, goingAway: false };
}

function settings(mode: RoutingMode, over: Partial<RoutingSettings> = {}): RoutingSettings {
	return { ...ROUTING, mode, ...over };
}

const OWN = node('node-a', ['192.168.0.1'], FACTS.podCidrs as string[]);
const NEAR = node('node-b', ['192.168.0.2', 'fd00:192::2'], ['10.244.2.0/24', 'fd00:244:2::/64']);
const FAR = node('node-c', ['172.16.0.3', 'fd00:172::3'], ['10.244.3.0/24', 'fd00:244:3::/64']);

function routes(nodes: Node[], with_: RoutingSettings): string[] {
	return planRouting(nodes, FACTS, with_).plan.routes.map(
		(r) =>
			`${r.dst} ${r.type === 'unreachable' ? 'unreachable' : `via ${r.gateway} dev ${r.device}${r.onlink ? ' onlink' : ''} src ${r.source}`}`,
	);
}

describe('planRouting', () => {
	it('sends the pods of all other nodes through the overlay with vxlan', () => {
		expect(routes([OWN, NEAR, FAR], settings('vxlan'))).toEqual([
			'10.244.1.0/24 unreachable',
			'10.244.2.0/24 via 169.254.1.1 dev overlay onlink src 192.168.0.1',
			'10.244.3.0/24 via 169.254.1.1 dev overlay onlink src 192.168.0.1',
			'fd00:244:1::/64 unreachable',
			'fd00:244:2::/64 via fe80::1 dev overlay onlink src fd00:192::1',
			'fd00:244:3::/64 via fe80::1 dev overlay onlink src fd00:192::1',
		]);
	});

	it('routes to the node itself on the shared link with direct, and says which node that does not reach', () => {
		const { plan } = planRouting([NEAR, FAR], FACTS, settings('direct'));
		expect(plan.routes.filter((r) => r.device === 'uplink').map((r) => `${r.dst} via ${r.gateway}`)).toEqual([
			'10.244.2.0/24 via 192.168.0.2',
			'fd00:244:2::/64 via fd00:192::2',
		]);
		expect(plan.overlay).toBeNull();
		expect(plan.problems.map(({ node: name, message }) => `${name}: ${message}`)).toEqual([
			'node-c: pod CIDR 10.244.3.0/24 has no route: routing is direct and the node has no IPv4 address in a subnet of eth0',
			'node-c: pod CIDR fd00:244:3::/64 has no route: routing is direct and the node has no IPv6 address in a subnet of eth0',
		]);
	});

	it('takes with auto the direct way inside the subnet and the overlay outside, and says why', () => {
		const { plan } = planRouting([NEAR, FAR], FACTS, settings('auto'));
		expect(plan.paths).toEqual([
			{ node: 'node-b', via: 'direct', reason: 'its address is in a subnet of the uplink' },
			{ node: 'node-c', via: 'tunnel', reason: 'it has no IPv4 and IPv6 address in a subnet of the uplink' },
		]);
	});

	it('tunnels with auto when only one of the pod families has an on-link address', () => {
		const half = node('node-b', ['192.168.0.2'], ['10.244.2.0/24', 'fd00:244:2::/64']);
		expect(planRouting([half], FACTS, settings('auto')).plan.paths[0]).toMatchObject({ via: 'tunnel' });
	});

	it('derives the MTU of pods and of each path', () => {
		const mtus = (mode: RoutingMode, facts = FACTS) => {
			const { plan, peers } = planRouting([NEAR, FAR], facts, settings(mode));
			return { pod: plan.podMtu, overlay: plan.overlay?.mtu, peers: peers.map(({ mtu }) => mtu) };
		};
		expect(mtus('vxlan')).toEqual({ pod: 1450, overlay: 1450, peers: [1450, 1450] });
		expect(mtus('direct')).toEqual({ pod: 1500, overlay: undefined, peers: [1500, 1500] });
		expect(mtus('auto')).toEqual({ pod: 1450, overlay: 1450, peers: [1500, 1450] });
		const six = { ...FACTS, addresses: ['fd00:192::1'] };
		expect(mtus('vxlan', six)).toEqual({ pod: 1430, overlay: 1430, peers: [1430, 1430] });
		expect(planRouting([], FACTS, settings('vxlan', { mtu: 1400 })).plan.podMtu).toBe(1400);
	});

	it('routes service CIDRs into the host device', () => {
		expect(routes([], settings('vxlan', { serviceCidrs: ['10.96.0.0/12', 'fd00:96::/108'] }))).toContain(
			'10.96.0.0/12 via 169.254.1.1 dev host onlink src 192.168.0.1',
		);
	});

	it('plans one permanent neighbour per device gateway and a managed one per direct next hop', () => {
		const { plan } = planRouting([NEAR, FAR], FACTS, settings('auto'));
		expect(plan.neighbours.map((n) => `${n.device} ${n.address} ${n.kind}`)).toEqual([
			'overlay 169.254.1.1 permanent',
			'overlay fe80::1 permanent',
			'uplink 192.168.0.2 managed',
			'uplink fd00:192::2 managed',
		]);
	});

	it("ignores a pod CIDR that overlaps another node's or its own", () => {
		const thief = node('node-z', ['192.168.0.9'], ['10.244.2.128/25', '10.244.0.0/16', '10.244.9.0/24']);
		const { peers, plan } = planRouting([NEAR, thief], FACTS, settings('vxlan'));
		expect(peers[1]!.podCidrs).toEqual(['10.244.9.0/24']);
		expect(plan.problems.map(({ message }) => message)).toEqual([
			'pod CIDR 10.244.2.128/25 overlaps 10.244.2.0/24 of node node-b and is ignored',
			'pod CIDR 10.244.0.0/16 overlaps 10.244.1.0/24 of node node-a and is ignored',
		]);
	});

	it('leaves out a node it has no common family with, and says so', () => {
		const alien = node('node-x', ['fd00:9::1'], ['fd00:244:9::/64']);
		const four = { ...FACTS, addresses: ['192.168.0.1'] };
		const { peers, plan } = planRouting([alien], four, settings('vxlan'));
		expect(peers).toEqual([]);
		expect(plan.problems[0]!.message).toContain('cannot be reached');
	});

	it('does not depend on the order of nodes', () => {
		expect(planRouting([FAR, NEAR, OWN], FACTS, settings('auto'))).toEqual(
			planRouting([OWN, NEAR, FAR], FACTS, settings('auto')),
		);
	});
});

describe('planPeers', () => {
	const SETTINGS = {
		clusterCidrs: ['10.244.0.0/16'],
		serviceCidrs: ['10.96.0.0/12'],
		nonMasqueradeCidrs: ['172.16.0.0/12'],
	};
	const plan = planPeers(planRouting([NEAR], FACTS, settings('vxlan')).peers, FACTS, SETTINGS);

	it('says of every prefix and address who owns it', () => {
		const text = [...plan.cidrs.values(), ...plan.addresses.values()].map(
			(row) => `${row.cidr} ${PeerKindName(row.kind)} ${row.node ?? '-'} ${IdentityName(row.identity)}`,
		);
		expect(text).toEqual([
			'172.16.0.0/12 NATIVE - WORLD',
			'10.244.0.0/16 UNKNOWN - UNKNOWN_POD',
			'10.96.0.0/12 UNKNOWN - UNKNOWN',
			'10.244.1.0/24 UNKNOWN - UNKNOWN_POD',
			'fd00:244:1::/64 UNKNOWN - UNKNOWN_POD',
			'10.244.2.0/24 REMOTE_POD node-b UNKNOWN_POD',
			'fd00:244:2::/64 REMOTE_POD node-b UNKNOWN_POD',
			'192.168.0.2 REMOTE_NODE node-b REMOTE_NODE',
			'fd00:192::2 REMOTE_NODE node-b REMOTE_NODE',
			'192.168.0.1 HOST - HOST',
			'fd00:192::1 HOST - HOST',
		]);
	});

	it('lets own addresses win over another node that claims them', () => {
		const thief = node('node-z', ['192.168.0.9', '192.168.0.1'], []);
		const peers = planPeers(planRouting([thief], FACTS, settings('vxlan')).peers, FACTS, SETTINGS);
		expect(peers.addresses.get('192.168.0.1')).toMatchObject({ node: null });
	});
});
