/**
 * Network policy on real nodes: who gets in and out, on the same node and across, directly and through services, and attempts from
 * outside.
 */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ask, CLIENT, eventually, ROUTER_OUTSIDE, sleep } from '../lib/cluster.ts';
import {
	type Asked,
	FAMILIES,
	type Member,
	OTHER,
	PROTOCOLS,
	SILENCE_MS,
	usePolicyNodes,
	WEB,
	type Who,
} from '../lib/policy-nodes.ts';

const NODE = join(import.meta.dirname, '..', '..', 'node_modules', '.bin', 'node');
const API_VIP = { IPv4: '10.96.7.9', IPv6: 'fd00:96::709' };
const DENY_ALL = { podSelector: {}, policyTypes: ['Ingress'] };
/** Sends three datagrams from each address. */
const SEND = `
	const [host, port, ...sources] = process.argv.slice(1);
	for (const source of sources) {
		const socket = require('node:dgram').createSocket(host.includes(':') ? 'udp6' : 'udp4');
		socket.bind(0, source, async () => {
			for (let i = 0; i < 3; i++) await new Promise((done) => socket.send('forged', Number(port), host, done));
			socket.close();
		});
	}
`;

describe.each(['vxlan', 'direct'] as const)('network policy with routing %s', (routing) => {
	const {
		cluster,
		pod,
		toPod,
		toService,
		toNodePort,
		settled,
		policy,
		clusterPolicy,
		removePolicies,
		everybody,
		always,
	} = usePolicyNodes(routing);

	it('lets nobody in but the own node and the pod itself, by whatever way, once a pod is isolated', async () => {
		policy('deny', 'x', DENY_ALL);
		await settled(
			[...always(), toService('server')],
			everybody().filter(({ from }) => from !== 'node1' && from !== 'server'),
		);
		removePolicies();
		await settled(everybody(), []);
	});

	it('admits pods by their labels and those of their namespace, on both nodes and through services', async () => {
		policy('deny', 'x', DENY_ALL);
		policy('by-pod', 'x', {
			podSelector: { matchLabels: { app: 'server' } },
			ingress: [{ from: [{ podSelector: { matchLabels: { app: 'client' } } }] }],
		});
		const admitted: Asked[] = [toPod('client', 'server'), toPod('client', 'backend'), toService('client')];
		const refused = (['other', 'far', 'node2'] as const).flatMap((from) => [toPod(from, 'server'), toService(from)]);
		await settled([...admitted, ...always()], [...refused, toPod('far', 'backend'), toNodePort('outside', 1)]);
		policy('by-namespace', 'x', {
			podSelector: { matchLabels: { app: 'server' } },
			ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: 'y' } } }] }],
		});
		const more = (['other', 'far'] as const).flatMap((from) => [toPod(from, 'server'), toService(from)]);
		await settled([...admitted, ...more, toPod('other', 'backend')], [toPod('node2', 'server')]);
		removePolicies();
	});

	it('admits by named port, number and range', async () => {
		const from = [{ namespaceSelector: {} }];
		policy('ports', 'x', {
			podSelector: { matchLabels: { app: 'server' } },
			ingress: [{ from, ports: [{ protocol: 'TCP', port: 'web' }] }],
		});
		const others = (port: number, protocols: Asked['protocols']) =>
			(['client', 'far'] as const).map((who) => toPod(who, 'server', port, protocols));
		await settled(others(WEB, ['TCP']), [...others(WEB, ['UDP']), ...others(OTHER, PROTOCOLS)]);
		policy('ports', 'x', {
			podSelector: { matchLabels: { app: 'server' } },
			ingress: [{ from, ports: [{ protocol: 'UDP', port: OTHER, endPort: OTHER + 10 }] }],
		});
		await settled(others(OTHER, ['UDP']), [...others(OTHER, ['TCP']), ...others(WEB, PROTOCOLS)]);
		removePolicies();
	});

	it('judges clients outside and other nodes by their addresses, and not by that of the node they came through', async () => {
		const nets = (v4: string, v6: string, except: readonly string[] = []) =>
			[v4, v6].map((cidr) => {
				const own = except.filter((each) => each.includes(':') === cidr.includes(':'));
				return { ipBlock: { cidr, ...(own.length > 0 && { except: own }) } };
			});
		const server = { matchLabels: { app: 'server' } };
		policy('outside', 'x', { podSelector: server, ingress: [{ from: nets('172.31.0.0/24', 'fd00:31::/64') }] });
		await settled([toNodePort('outside', 1)], [toPod('node2', 'server'), toPod('far', 'server'), toNodePort('far', 1)]);
		policy('outside', 'x', {
			podSelector: server,
			ingress: [{ from: nets('172.31.0.0/24', 'fd00:31::/64', [`${CLIENT.v4}/32`, `${CLIENT.v6}/128`]) }],
		});
		await settled([toPod('node1', 'server')], [toNodePort('outside', 1)]);
		const { v4, v6 } = cluster().node(2).addresses;
		policy('outside', 'x', { podSelector: server, ingress: [{ from: nets(`${v4}/32`, `${v6}/128`) }] });
		await settled([toPod('node2', 'server')], [toNodePort('outside', 1), toPod('far', 'server')]);
		removePolicies();
	});

	it('restricts what pods reach, after the translation of services', async () => {
		policy('out', 'y', { podSelector: {}, policyTypes: ['Egress'] });
		await settled(
			[toPod('client', 'other'), toPod('node1', 'other'), toPod('node2', 'far')],
			(['other', 'far'] as const).flatMap((from) => [
				...[toPod(from, 'server'), toPod(from, 'backend'), toService(from), toNodePort(from, 2)],
			]),
		);
		policy('out', 'y', {
			podSelector: {},
			egress: [
				{
					to: [{ namespaceSelector: { matchLabels: { team: 'x' } }, podSelector: { matchLabels: { app: 'server' } } }],
					ports: [{ protocol: 'TCP', port: 'web' }],
				},
			],
		});
		const tcp = (from: Who): Asked[] => [
			toPod(from, 'server', WEB, ['TCP']),
			{ ...toService(from), protocols: ['TCP'] },
		];
		const udp = (from: Who): Asked[] => [
			toPod(from, 'server', WEB, ['UDP']),
			{ ...toService(from), protocols: ['UDP'] },
		];
		await settled(
			[...tcp('other'), ...tcp('far')],
			[...udp('other'), ...udp('far'), toPod('far', 'server', OTHER), toPod('other', 'client')],
		);
		removePolicies();
	});

	it('asks cluster policies of the Admin tier first and those of the Baseline tier last', async () => {
		const x = { namespaces: { matchLabels: { team: 'x' } } };
		const y = [{ namespaces: { matchLabels: { team: 'y' } } }];
		const baseline = { tier: 'Baseline', priority: 0, subject: x, ingress: [{ name: 'no', action: 'Deny', from: y }] };
		clusterPolicy('baseline', baseline);
		await settled([toPod('client', 'server')], [toPod('other', 'server'), toPod('far', 'backend')]);
		policy('allow', 'x', { podSelector: {}, ingress: [{}] });
		await settled([toPod('other', 'server'), toPod('far', 'backend'), toNodePort('outside', 2)], []);
		clusterPolicy('admin', {
			tier: 'Admin',
			priority: 10,
			subject: x,
			ingress: [
				{ action: 'Pass', from: [{ pods: { namespaceSelector: {}, podSelector: { matchLabels: { app: 'far' } } } }] },
				{ action: 'Deny', from: y },
			],
		});
		await settled([toPod('far', 'server'), toService('far')], [toPod('other', 'server'), toService('other')]);
		removePolicies();
	});

	it('lets no policy cut nodes off from each other, their pods, and services whose backends they are', async () => {
		const toNode = (from: Who, n: 1 | 2): Asked => {
			const { v4, v6 } = cluster().node(n).addresses;
			return { from, to: `node${n}`, port: WEB, hosts: (family) => (family === 'IPv4' ? v4 : v6) };
		};
		const toApi = (from: Who): Asked => ({ from, to: 'the API', port: 443, hosts: (family) => API_VIP[family] });
		publishApi();
		const nodes: Asked[] = [
			...[toNode('node1', 2), toNode('node2', 1), toNode('outside', 1), toNode('outside', 2)],
			...[toApi('node1'), toApi('node2'), toPod('node1', 'server'), toPod('node2', 'backend'), toPod('node2', 'far')],
		];
		const pods = [toNode('client', 2), toNode('far', 1), toApi('client'), toApi('far')];
		await settled([...nodes, ...pods], []);
		const everywhere = [{ networks: ['0.0.0.0/0', '::/0'] }, { namespaces: {} }, { nodes: {} }];
		clusterPolicy('nothing', {
			...{ tier: 'Admin', priority: 0, subject: { namespaces: {} } },
			ingress: [{ action: 'Deny', from: [{ namespaces: {} }] }],
			egress: [{ action: 'Deny', to: everywhere }],
		});
		for (const namespace of ['x', 'y'])
			policy('nothing', namespace, { podSelector: {}, policyTypes: ['Ingress', 'Egress'] });
		await settled(nodes, [...pods, toPod('client', 'server'), toPod('node2', 'server'), toNodePort('outside', 1)]);
		removePolicies();
		await settled([...nodes, ...pods], []);
	});

	it('lets cluster policies alone keep a pod from itself, and only by way of a service', async () => {
		policy('deny', 'x', DENY_ALL);
		await settled([toService('server'), toPod('server', 'server')], [toService('client')]);
		const server = { pods: { namespaceSelector: {}, podSelector: { matchLabels: { app: 'server' } } } };
		const about = (action: 'Accept' | 'Deny') => {
			const rules = { ingress: [{ action, from: [server] }], egress: [{ action, to: [server] }] };
			clusterPolicy('self', { tier: 'Admin', priority: 0, subject: server, ...rules });
		};
		about('Deny');
		await settled([toPod('server', 'server')], [toService('server')]);
		about('Accept');
		await settled([toPod('server', 'server'), toService('server')], [toService('client')]);
		removePolicies();
	});

	it('refuses fragments and forged senders as well', async () => {
		await forge(['itself'], true);
		policy('deny', 'x', {
			podSelector: { matchLabels: { app: 'server' } },
			ingress: [{ from: [{ podSelector: { matchLabels: { app: 'client' } } }] }],
		});
		await settled([toPod('client', 'server')], [toPod('other', 'server'), toNodePort('outside', 1)]);
		await eventually('allowed fragments arrive', () => fragmentsReach('client', true));
		await fragmentsReach('other', false);
		await fragmentsReach('far', false);
		await forge(['the admitted pod', 'the node', 'itself'], false);
		removePolicies();
	});

	/** A service of a process on node 2, as that of the API server is. */
	function publishApi(): void {
		const { v4, v6 } = cluster().node(2).addresses;
		const ports = PROTOCOLS.map((protocol) => ({ name: protocol, port: 443, targetPort: WEB, protocol }));
		const clusterIPs = [API_VIP.IPv4, API_VIP.IPv6];
		const server = { name: 'api', nodeName: cluster().node(2).name, addresses: { IPv4: v4, IPv6: v6 } };
		cluster().publish({ name: 'api', namespace: 'x', clusterIPs, ports }, [server]);
	}

	async function fragmentsReach(from: Member, expected: boolean): Promise<void> {
		for (const family of FAMILIES) {
			const host = pod('server').address(family);
			const before = await received();
			await ask(pod(from), { mode: 'udp', host, port: WEB, size: 6000, timeoutMs: SILENCE_MS });
			expect((await received()) > before, `fragments from ${from} over ${family}`).toBe(expected);
		}
	}

	/** Datagrams that the server's stack has taken. */
	async function received(): Promise<number> {
		const { stdout } = await pod('server').run(['cat', '/proc/net/snmp', '/proc/net/snmp6']);
		const udp4 = /^Udp: (\d+)/m.exec(stdout)?.[1];
		const udp6 = /^Udp6InDatagrams\s+(\d+)/m.exec(stdout)?.[1];
		return Number(udp4) + Number(udp6);
	}

	/**
	 * The client outside routes the server's address to its node, and sends.
	 * @param as  whom it pretends to be
	 */
	async function forge(as: readonly ('the admitted pod' | 'the node' | 'itself')[], expected: boolean): Promise<void> {
		const { name, client } = cluster();
		const node = cluster().node(1).addresses;
		for (const family of FAMILIES) {
			const host = pod('server').address(family);
			const is4 = family === 'IPv4';
			const ip = ['ip', is4 ? '-4' : '-6'];
			const prefix = `${host}/${is4 ? 32 : 128}`;
			const known = {
				'the admitted pod': pod('client').address(family),
				'the node': is4 ? node.v4 : node.v6,
				itself: is4 ? CLIENT.v4 : CLIENT.v6,
			};
			const forged = as.filter((who) => who !== 'itself').map((who) => known[who]);
			await client.run([...ip, 'route', 'replace', prefix, 'via', is4 ? ROUTER_OUTSIDE.v4 : ROUTER_OUTSIDE.v6]);
			await client.run([...ip, '-n', `${name}-router`, 'route', 'replace', prefix, 'via', is4 ? node.v4 : node.v6]);
			for (const each of forged) await client.run([...ip, 'addr', 'add', each, 'dev', 'lo', ...(is4 ? [] : ['nodad'])]);
			const before = await received();
			await client.run([NODE, '-e', SEND, host, String(WEB), ...as.map((who) => known[who])]);
			await sleep(100);
			expect((await received()) > before, `datagrams as ${as.join(', ')} over ${family}`).toBe(expected);
			for (const each of forged) await client.run([...ip, 'addr', 'del', each, 'dev', 'lo']);
		}
	}
});
