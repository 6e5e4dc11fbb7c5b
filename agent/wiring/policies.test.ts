import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Endpoint, EndpointFlags, Identity, IpcacheEntry, IpcacheKey, PeerKind } from '../../native/abi/generated.ts';
import { FACTS, ROUTING } from '../../test/lib/cluster-builder.ts';
import { FakeKernel, type FakeKernelOptions } from '../../test/lib/fake-kernel.ts';
import { podOf, requireParsed } from '../../test/lib/policy-world.ts';
import type { Attachment } from '../endpoints/attachment.ts';
import type { LiveEndpoint } from '../endpoints/endpoint-manager.ts';
import { EndpointRows } from '../endpoints/endpoint-rows.ts';
import { addressBytes } from '../model/address.ts';
import type { EventReason } from '../model/event.ts';
import { parseNetworkPolicy } from '../model/network-policy.ts';
import type { Node } from '../model/node.ts';
import { planPeers } from '../plan/peers.ts';
import { planRouting } from '../plan/routing.ts';
import { reconcilePeers } from '../reconcile/nodes.ts';
import type { PolicyReport } from '../reconcile/policy.ts';
import { ClusterStore } from '../sources/store.ts';
import { Policies } from './policies.ts';

const DEVICES = { uplinkIfindex: 2, overlayIfindex: 9 };
const NO_CIDRS = { clusterCidrs: ['10.244.0.0/16'], serviceCidrs: [], nonMasqueradeCidrs: [] };

function node(name: string, n: number): Node {
	const addresses = { internalIps: [`192.168.0.${n}`], externalIps: [], podCidrs: [`10.244.${n}.0/24`] };
	return { name, labels: {}, zone: '', ...addresses, goingAway: false };
}

/** A node's agent without its kernel: a view, attachments and the tables. */
class World {
	readonly kernel: FakeKernel;
	readonly rows: EndpointRows;
	readonly store = new ClusterStore();
	readonly live: LiveEndpoint[] = [];
	readonly starting: Attachment[] = [];
	readonly reports: PolicyReport[] = [];
	readonly events: [EventReason, string][] = [];
	policies: Policies;

	constructor(options: FakeKernelOptions = {}) {
		this.kernel = new FakeKernel(options);
		this.rows = new EndpointRows(this.kernel);
		this.store.markSynced();
		this.policies = this.start();
	}

	/** Another run of the agent on the same kernel. */
	start(): Policies {
		return new Policies({
			...{ view: this.store, kernel: this.kernel, nodeName: FACTS.name, audit: false },
			pods: {
				list: () => this.live,
				current: () => this.live,
				attaching: () => this.starting,
				setIdentity: (key, identity) => {
					const found = this.live.find(({ containerId }) => containerId === key.containerId);
					if (found !== undefined) this.rows.identify(found, found.ifindex, identity);
				},
			},
			events: { event: (_, __, reason, message) => this.events.push([reason, message]) },
			onReport: (report) => this.reports.push(report),
			onProblems: () => undefined,
		});
	}

	/** What the node loop does. */
	peers(nodes: readonly Node[] = [node('node-b', 2)]) {
		const plan = planPeers(planRouting(nodes, FACTS, ROUTING).peers, FACTS, NO_CIDRS);
		return reconcilePeers(plan, DEVICES, this.kernel, this.policies);
	}

	async change(work: () => void): Promise<void> {
		const stop = this.store.onChange((change) => this.policies.onChange(change));
		work();
		await turn();
		stop();
	}

	policy(name: string, spec: object): void {
		const raw = { metadata: { namespace: 'x', name }, spec };
		this.store.set('NetworkPolicy', `x/${name}`, requireParsed(parseNetworkPolicy(raw)));
	}

	/** CNI ADD up to the answer. */
	attach(name: string, address: string): LiveEndpoint {
		const pod = { namespace: 'x', name, uid: 'u1' };
		const attachment = {
			...({ version: 1, containerId: name, ifname: 'eth0', network: 'n', mode: 'veth', bootId: 'b', pod } as const),
			...{ netns: { path: '/n', dev: 1, ino: 1 }, addresses: [address], mtu: 1450, hostPorts: [], createdAtMs: 0 },
			...{ mac: '02:00:00:00:00:01', hostMac: '02:00:00:00:00:02', hostIfname: `fl${name}` },
			...this.rows.allocate(name),
		};
		this.starting.push(attachment);
		try {
			const identity = this.policies.identify(pod, attachment.addresses);
			const endpoint = { ...attachment, ifindex: 100 + attachment.index, identity, netnsCookie: 0n };
			this.rows.write(attachment, endpoint.ifindex, identity);
			this.live.push(endpoint);
			return endpoint;
		} finally {
			this.starting.splice(0);
			this.policies.onPods();
		}
	}

	row({ index }: Pick<Attachment, 'index'>): Endpoint {
		return Endpoint.decode(this.kernel.mapGet('endpoints', new Uint8Array(new Uint32Array([index]).buffer))!);
	}

	entry(address: string): IpcacheEntry | undefined {
		const value = this.kernel.mapGet('ipcache', IpcacheKey.encode({ addr: addressBytes(address) }));
		return value && IpcacheEntry.decode(value);
	}

	generation({ index }: Pick<Attachment, 'index'>): number {
		return Endpoint.decode(this.kernel.mapGet('endpoints', new Uint8Array(new Uint32Array([index]).buffer))!).policyGen;
	}
}

const isolated = ({ flags }: Endpoint): boolean => (flags & EndpointFlags.ISOLATED) !== 0;
const DENY = { podSelector: {}, policyTypes: ['Ingress'] };

describe('Policies', () => {
	it('give a pod its set with its first row, although the API knows no address of it', async () => {
		const world = new World();
		world.store.set('Pod', 'x/a', podOf('x', 'a', [], { uid: 'u1', node: FACTS.name }));
		world.policy('deny', DENY);
		world.peers();
		const endpoint = world.attach('a', '10.244.1.5');
		expect(endpoint.identity).toMatchObject({ isolated: false });
		expect(endpoint.identity.policySet).toBeGreaterThan(0);
		expect(endpoint.identity.identity).toBeGreaterThanOrEqual(Identity.FIRST_DYNAMIC);
		expect(world.entry('10.244.1.5')).toMatchObject({ identity: endpoint.identity.identity });
	});

	it('bring what changed during an attachment into its row before ADD returns', async () => {
		const world = new World();
		world.store.set('Pod', 'x/a', podOf('x', 'a', [], { uid: 'u1', node: FACTS.name }));
		world.peers();
		const identify = world.policies.identify.bind(world.policies);
		world.policies.identify = (...args) => {
			const identity = identify(...args);
			world.policy('deny', DENY);
			const [nothing, policies] = [new Set<string>(), new Set(['x/deny'])];
			const others = { services: nothing, pods: nothing, nodes: nothing, namespaces: nothing, serviceCidrs: nothing };
			world.policies.onChange({ ...others, networkPolicies: policies, clusterNetworkPolicies: nothing });
			return identity;
		};
		const endpoint = world.attach('a', '10.244.1.5');
		expect(endpoint.identity.policySet).toBe(0);
		expect(world.row(endpoint).policySet).toBeGreaterThan(0);
	});

	it('isolate an attached pod that the cluster does not know, as long as a policy might select it', async () => {
		const world = new World();
		world.peers();
		const endpoint = world.attach('a', '10.244.1.5');
		expect(isolated(world.row(endpoint))).toBe(false);
		expect(endpoint.identity.identity).toBe(Identity.UNKNOWN_POD);
		await world.change(() => world.policy('deny', DENY));
		expect(isolated(world.row(endpoint))).toBe(true);
		const before = world.generation(endpoint);
		await world.change(() => world.store.set('Pod', 'x/a', podOf('x', 'a', [], { uid: 'u1', node: FACTS.name })));
		expect(world.row(endpoint).policySet).toBeGreaterThan(0);
		expect(isolated(world.row(endpoint))).toBe(false);
		expect(world.generation(endpoint)).not.toBe(before);
		await world.change(() => world.store.delete('Pod', 'x/a'));
		expect(world.row(endpoint)).toMatchObject({ policySet: 0, identity: Identity.UNKNOWN_POD });
		expect(isolated(world.row(endpoint))).toBe(true);
		expect(world.entry('10.244.1.5')).toMatchObject({ identity: Identity.UNKNOWN_POD });
		await world.change(() => world.store.delete('NetworkPolicy', 'x/deny'));
		expect(isolated(world.row(endpoint))).toBe(false);
	});

	it('write exact addresses of pods elsewhere, which the comparison of peers leaves alone', async () => {
		const world = new World();
		world.store.set('Pod', 'x/far', podOf('x', 'far', ['10.244.2.5'], { node: 'node-b' }));
		world.peers();
		expect(world.entry('10.244.2.5')!.peer.kind).toBe(PeerKind.REMOTE_POD);
		world.kernel.log.length = 0;
		expect(world.peers()).toMatchObject({ ops: 0, problems: [] });
		expect(world.kernel.log).toEqual([]);
		await world.change(() => world.store.delete('Pod', 'x/far'));
		expect(world.entry('10.244.2.5')).toBeUndefined();
	});

	it('move references to a row of a node that changes before the old row goes, and drop them with the node', () => {
		const world = new World();
		world.store.set('Pod', 'x/far', podOf('x', 'far', ['10.244.2.5'], { node: 'node-b' }));
		world.peers();
		const old = world.entry('10.244.2.5')!.peer;
		const { assignments } = world.peers([{ ...node('node-b', 2), internalIps: ['192.168.0.22'] }]);
		expect(world.entry('10.244.2.5')!.peer).toMatchObject({ ...assignments.get('node-b') });
		expect(world.entry('10.244.2.5')!.peer).not.toEqual(old);
		world.peers([]);
		expect(world.entry('10.244.2.5')).toBeUndefined();
		world.peers();
		expect(world.entry('10.244.2.5')!.peer.kind).toBe(PeerKind.REMOTE_POD);
	});

	it('give node addresses the identities of blocks that contain them', async () => {
		const world = new World();
		world.store.set('Pod', 'x/a', podOf('x', 'a', [], { uid: 'u1', node: FACTS.name }));
		world.store.set('Node', 'node-b', node('node-b', 2));
		world.peers();
		world.attach('a', '10.244.1.5');
		expect(world.entry('192.168.0.2')!.identity).toBe(Identity.REMOTE_NODE);
		await world.change(() =>
			world.policy('block', { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: '192.168.0.0/24' } }] }] }),
		);
		const identity = world.entry('192.168.0.2')!.identity;
		expect(identity).toBeGreaterThan(Identity.REMOTE_NODE);
		expect(world.peers()).toMatchObject({ ops: 0 });
		expect(world.entry('192.168.0.2')!.identity).toBe(identity);
	});

	it('go on after a restart without a write', async () => {
		const world = new World();
		world.store.set('Pod', 'x/a', podOf('x', 'a', [], { uid: 'u1', node: FACTS.name }));
		world.store.set('Pod', 'x/far', podOf('x', 'far', ['10.244.2.5'], { node: 'node-b' }));
		world.policy('some', { podSelector: {}, ingress: [{ from: [{ podSelector: { matchLabels: { pod: 'far' } } }] }] });
		world.peers();
		world.attach('a', '10.244.1.5');
		world.policies = world.start();
		world.kernel.log.length = 0;
		world.peers();
		world.policies.onPods();
		expect(world.kernel.log).toEqual([]);
	});

	it('attach nobody while the maps are not as wanted', async () => {
		const world = new World();
		world.store.set('Pod', 'x/a', podOf('x', 'a', [], { uid: 'u1', node: FACTS.name }));
		expect(() => world.attach('a', '10.244.1.5')).toThrow(/cannot attach x\/a: the policy maps/);
		world.peers();
		world.kernel.fault = ({ map }) => (map === 'policy' ? 'EPERM' : undefined);
		await world.change(() => {
			world.store.set('Pod', 'x/far', podOf('x', 'far', ['10.244.2.5'], { node: 'node-b' }));
			world.policy('some', {
				podSelector: {},
				ingress: [{ from: [{ podSelector: { matchLabels: { pod: 'far' } } }] }],
			});
		});
		expect(world.reports.at(-1)?.problems).toEqual([]);
		expect(() => world.attach('a', '10.244.1.5')).toThrow(/cannot attach x\/a: the policy maps/);
		world.kernel.fault = undefined;
		expect(world.attach('a', '10.244.1.5').identity.policySet).toBeGreaterThan(0);
		await world.policies.close();
	});

	it('begin anew from the view when the unforeseen happens', async () => {
		const world = new World();
		world.store.set('Pod', 'x/a', podOf('x', 'a', [], { uid: 'u1', node: FACTS.name }));
		world.peers();
		const endpoint = world.attach('a', '10.244.1.5');
		const broken = { ...podOf('x', 'b', ['10.244.1.6']), labels: null as never };
		await world.change(() => world.store.set('Pod', 'x/b', broken));
		await world.change(() => world.policy('deny', DENY));
		expect(world.reports.some(({ problems }) => problems.length > 0)).toBe(true);
		world.store.delete('Pod', 'x/b');
		world.peers();
		expect(world.reports.at(-1)!.problems).toEqual([]);
		expect(world.row(endpoint).policySet).toBeGreaterThan(0);
		await world.policies.close();
	});

	it('tell once, with an Event, whom they close for want of room', async () => {
		const world = new World({ capacity: { policy: 8 } });
		world.store.set('Pod', 'x/a', podOf('x', 'a', [], { uid: 'u1', node: FACTS.name }));
		world.peers();
		world.attach('a', '10.244.1.5');
		const cidrs = Array.from({ length: 10 }, (_, n) => ({
			ipBlock: { cidr: `172.16.${n}.0/24` },
		}));
		const ports = [{ protocol: 'TCP', port: 80 }];
		await world.change(() => world.policy('big', { podSelector: {}, ingress: [{ from: cidrs, ports }] }));
		expect(world.policies.warnings).toHaveLength(1);
		expect(world.policies.warnings[0]).toMatch(
			/^policies NetworkPolicy x\/big deny everything to 1 pods: map policy: no room/,
		);
		world.peers();
		expect(world.events).toHaveLength(1);
		expect(world.events[0]).toEqual([
			'PolicyNotEnforced',
			expect.stringMatching(/^denies everything to the pods of node node-a/),
		]);
		await world.policies.close();
	});
});
