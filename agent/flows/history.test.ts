import { describe, expect, it } from 'vitest';
import {
	CtDirection,
	DropReason,
	EventType,
	Hook,
	JudgedSide,
	L4Proto,
	PolicyCookie,
} from '../../native/abi/generated.ts';
import { flowRecord, pod, RULES, resolverOf, service } from '../../test/lib/flow-records.ts';
import { addressBytes } from '../model/address.ts';
import type { PeerName } from './flow.ts';
import { FlowHistory } from './history.ts';
import type { AddressResolver } from './names.ts';
import { summarize } from './protocols.ts';

const web = pod('shop', 'web-1', { app: 'web' });
const db = pod('shop', 'db-0', { app: 'db' });

function historyOf(
	owners: Record<string, PeerName>,
	capacity = 8,
	sender?: NonNullable<AddressResolver['sender']>,
): FlowHistory {
	return new FlowHistory({ capacity, nodeName: 'node-a', names: { ...resolverOf(owners), ...(sender && { sender }) } });
}

describe('FlowHistory', () => {
	it('decodes a record into a flow with names, wall time and both destinations', () => {
		const history = historyOf({ '10.1.0.5': web, '10.1.1.7': db, '10.96.0.3': service('shop', 'db') });
		history.push(flowRecord({ timeNs: 5n, origDst: '10.96.0.3', origDport: 5432, dport: 15432 }), 1_000n);
		const flow = history.get(0);
		expect(flow).toMatchObject({
			sequence: 0,
			timeNs: 1_005n,
			nodeName: 'node-a',
			kind: 'new',
			verdict: 'forwarded',
			protocol: 6,
			ipVersion: 4,
			direction: 'egress',
			reply: false,
			packetBytes: 60,
			source: { ...web, address: '10.1.0.5', port: 40000 },
			destination: { ...db, address: '10.1.1.7', port: 15432 },
			originalDestination: { kind: 'service', name: 'db', address: '10.96.0.3', port: 5432 },
			service: { namespace: 'shop', name: 'db' },
		});
		expect(flow?.totals).toBeUndefined();
	});

	it('names the rules of both sides, and asks about the pod that was judged, whoever sent the packet', () => {
		const history = new FlowHistory({ capacity: 8, nodeName: 'node-a', names: resolverOf({}), rules: RULES });
		const denied = { type: EventType.DROP, reason: DropReason.POLICY, denied: JudgedSide.INGRESS, rule: [20, 1] };
		history.push(flowRecord(denied), 0n);
		history.push(flowRecord({ ...denied, direction: CtDirection.REPLY }), 0n);
		history.push(flowRecord({ type: EventType.POLICY_AUDIT, audited: JudgedSide.EGRESS, rule: [21, 0] }), 0n);
		history.push(flowRecord({ rule: [0, 0] }), 0n);
		const isolated = { type: EventType.DROP, reason: DropReason.ISOLATED, denied: JudgedSide.EGRESS };
		history.push(flowRecord({ ...isolated, rule: [PolicyCookie.CLOSED, 0] }), 0n);
		expect(history.get(0)).toMatchObject({
			verdict: 'dropped',
			direction: 'ingress',
			egressRule: { verdict: 'allowed', cookie: 20, by: { text: 'NetworkPolicy data/db egress rule 0' } },
			ingressRule: { verdict: 'denied', cookie: 1, by: { text: expect.stringContaining('at 10.1.1.7') } },
		});
		expect(history.get(1)?.ingressRule?.by.text).toContain('at 10.1.0.5');
		expect(history.get(2)).toMatchObject({
			...{ kind: 'audit', verdict: 'audit', direction: 'egress', ingressRule: undefined },
			egressRule: { verdict: 'audited', by: { policies: [{ kind: 'ClusterNetworkPolicy', name: 'guard' }] } },
		});
		expect(history.get(4)?.egressRule?.by.text).toBe('the pod is isolated until the cluster knows it');
		expect(history.get(3)).toMatchObject({ egressRule: undefined, ingressRule: undefined, verdict: 'forwarded' });
	});

	it('keeps the name an address had when the record came', () => {
		const owners: Record<string, PeerName> = { '10.1.0.5': web };
		const history = historyOf(owners);
		history.push(flowRecord({ dst: '192.0.2.1' }), 0n);
		owners['10.1.0.5'] = db;
		owners['192.0.2.1'] = db;
		expect(history.get(0)?.source.name).toBe('web-1');
		expect(history.get(0)?.destination).toMatchObject({ kind: 'world', name: '' });
	});

	it('gives cluster addresses without an owner the kind unknown', () => {
		const history = historyOf({});
		history.push(flowRecord({ dst: '10.9.9.9' }), 0n);
		expect(history.get(0)?.destination.kind).toBe('unknown');
	});

	it('does not take the empty source address of an unbound socket for an outsider', () => {
		const history = historyOf({});
		history.push(flowRecord({ type: EventType.SOCK_CONNECT, src: '::' }), 0n);
		expect(history.get(0)?.source).toMatchObject({ kind: 'unknown', address: '::' });
	});

	it('knows the pod of a socket by its network namespace, as it was then', () => {
		const owners: Record<string, PeerName> = { '10.1.0.5': web, 'fd00::5': web };
		const cookies = new Map([[7n, { 4: '10.1.0.5', 6: 'fd00::5' }]]);
		const sender = (cookie: bigint, family: 4 | 6) => {
			const address = cookies.get(cookie)?.[family];
			return address === undefined ? undefined : addressBytes(address);
		};
		const history = historyOf(owners, 8, sender);
		const socket = { type: EventType.SOCK_CONNECT, hook: Hook.SOCKET, src: '::', family: 4, sport: 0, bytes: [7n, 0n] };
		history.push(flowRecord(socket), 0n);
		history.push(flowRecord({ ...socket, family: 6 }), 0n);
		history.push(flowRecord({ ...socket, type: EventType.DROP, reason: DropReason.NO_BACKEND }), 0n);
		history.push(flowRecord({ ...socket, bytes: [8n, 0n] }), 0n);
		history.push(flowRecord({ ...socket, src: '172.18.0.2' }), 0n);
		cookies.clear();
		const sources = [0, 1, 2, 3, 4].map((at) => history.get(at)?.source);
		expect(sources.map((source) => `${source?.address} ${source?.name}`)).toEqual([
			'10.1.0.5 web-1',
			'fd00::5 web-1',
			'10.1.0.5 web-1',
			':: ',
			'172.18.0.2 ',
		]);
	});

	it('overwrites the oldest record and says which are left', () => {
		const history = historyOf({}, 3);
		for (let i = 0; i < 5; i++) history.push(flowRecord({ sport: i + 1 }), 0n);
		expect([history.first, history.next, history.held]).toEqual([2, 5, 3]);
		expect(history.get(1)).toBeUndefined();
		expect(history.get(5)).toBeUndefined();
		expect([2, 3, 4].map((at) => history.get(at)?.source.port)).toEqual([3, 4, 5]);
	});

	it('refuses a truncated record', () => {
		const history = historyOf({});
		expect(history.push(flowRecord().subarray(0, 119), 0n)).toBe(false);
		expect(history.next).toBe(0);
	});

	it('shows the totals of a closed flow by direction', () => {
		const history = historyOf({});
		history.push(flowRecord({ type: EventType.FLOW_CLOSE, packets: [3, 2], bytes: [300n, 2n ** 40n] }), 0n);
		expect(history.get(0)).toMatchObject({
			kind: 'close',
			totals: { packetsForward: 3, packetsReply: 2, bytesForward: 300n, bytesReply: 2n ** 40n },
		});
	});

	it.each([
		[{ type: EventType.DROP, reason: DropReason.NO_ROUTE }, 'dropped', 'drop'],
		[{ type: EventType.NAT_EXHAUSTED, reason: DropReason.NAT_EXHAUSTED }, 'dropped', 'nat-exhausted'],
		[{ type: EventType.NAT_EXHAUSTED }, 'error', 'nat-exhausted'],
		[{ type: EventType.SOCK_CONNECT, hook: Hook.SOCKET }, 'translated', 'connect'],
		[{ type: EventType.FLOW_NEW, direction: CtDirection.REPLY }, 'forwarded', 'new'],
	])('judges %o as %s', (fields, verdict, kind) => {
		const history = historyOf({});
		history.push(flowRecord(fields), 0n);
		expect(history.get(0)).toMatchObject({ verdict, kind });
	});

	it.each([
		[{ tcpFlags: 0x12 }, 'TCP Flags: SYN, ACK'],
		[{ proto: L4Proto.UDP, tcpFlags: 0 }, 'UDP'],
		[{ proto: L4Proto.ICMP, tcpFlags: 8 }, 'ICMPv4 EchoRequest'],
		[{ proto: L4Proto.ICMPV6, tcpFlags: 200, icmpCode: 3 }, 'ICMPv6 type 200 code 3'],
		[{ proto: 47, tcpFlags: 0 }, '47'],
		[{ type: EventType.FLOW_CLOSE }, 'TCP closed'],
	])('summarizes %o as %s', (fields, text) => {
		const history = historyOf({});
		history.push(flowRecord(fields), 0n);
		const flow = history.get(0);
		expect(flow && summarize(flow)).toBe(text);
	});

	it('shows no ports for protocols that have none', () => {
		const history = historyOf({});
		history.push(flowRecord({ proto: L4Proto.ICMP, sport: 77, dport: 77, tcpFlags: 8 }), 0n);
		expect(history.get(0)?.source.port).toBe(0);
	});
});
