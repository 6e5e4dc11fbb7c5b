/**
 * The observer API as the stock Hubble CLI uses it: over a real connection, and byte by byte where a wrong number would
 * only be seen by somebody else's client.
 */
import { credentials, type ServiceError } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DropReason, EventType, Hook, JudgedSide, L4Proto } from '../../native/abi/generated.ts';
import type { FlowFilter } from '../../proto/generated/flow/FlowFilter.ts';
import type { GetFlowsRequest } from '../../proto/generated/observer/GetFlowsRequest.ts';
import type { GetFlowsResponse__Output } from '../../proto/generated/observer/GetFlowsResponse.ts';
import type { ObserverClient } from '../../proto/generated/observer/Observer.ts';
import { loadHealthApi, loadObserverApi } from '../../proto/load.ts';
import type { FakeAgent } from '../../test/lib/fake-agent.ts';
import { startFakeAgent } from '../../test/lib/fake-agent.ts';
import type { EventFields } from '../../test/lib/flow-records.ts';
import { flowRecord } from '../../test/lib/flow-records.ts';

const { Observer } = loadObserverApi();
const { Health } = loadHealthApi();

let agent: FakeAgent;
let client: ObserverClient;

beforeEach(async () => {
	agent = await startFakeAgent();
	client = new Observer(`unix:${agent.socketPath}`, credentials.createInsecure());
});

afterEach(async () => {
	client.close();
	await agent.stop();
});

async function getFlows(request: GetFlowsRequest = {}): Promise<GetFlowsResponse__Output[]> {
	const seen: GetFlowsResponse__Output[] = [];
	for await (const message of client.GetFlows(request)) seen.push(message as GetFlowsResponse__Output);
	return seen;
}

const record = (...events: EventFields[]) => agent.flows.record(events.map(flowRecord));

const toService: EventFields = { origDst: '10.96.0.3', origDport: 5432, dport: 15432, ifindex: 7, srcIdentity: 300 };
const dropped: EventFields = { type: EventType.DROP, reason: DropReason.NO_ROUTE, dst: '10.9.9.9', hook: Hook.TO_POD };
const six: EventFields = { src: 'fd00::5', dst: '2001:db8::1', proto: L4Proto.UDP, tcpFlags: 0 };

/** Field numbers and wire types at the top level of a protobuf message (protobuf.dev/programming-guides/encoding). */
function fieldsOf(bytes: Uint8Array): Map<number, { type: number; value: bigint | Uint8Array }> {
	const fields = new Map<number, { type: number; value: bigint | Uint8Array }>();
	let at = 0;
	const varint = (): bigint => {
		let value = 0n;
		for (let shift = 0n; ; shift += 7n) {
			const byte = BigInt(bytes[at++]!);
			value |= (byte & 0x7fn) << shift;
			if (byte < 0x80n) return value;
		}
	};
	while (at < bytes.length) {
		const tag = Number(varint());
		if ((tag & 7) === 2) {
			const length = Number(varint());
			fields.set(tag >> 3, { type: 2, value: bytes.subarray(at, at + length) });
			at += length;
		} else fields.set(tag >> 3, { type: tag & 7, value: varint() });
	}
	return fields;
}

describe('observer.Observer', () => {
	it('is healthy before anything else is asked, and knows what it does not serve', async () => {
		const health = new Health(`unix:${agent.socketPath}`, credentials.createInsecure());
		const check = (service: string) =>
			new Promise<string>((resolve) => {
				health.Check({ service }, (error: ServiceError | null, answer) => {
					resolve(error === null ? (answer?.status ?? '') : String(error.code));
				});
			});
		expect(await check('observer.Observer')).toBe('SERVING');
		expect(await check('other.Service')).toBe('5');
		health.close();
	});

	it('tells its state, its node and the namespaces', async () => {
		record(toService, dropped);
		const status = await new Promise((resolve) => client.ServerStatus({}, (_, answer) => resolve(answer)));
		expect(status).toMatchObject({ numFlows: 2, maxFlows: 1000, seenFlows: 2, version: 'fairlead 9.8.7' });
		const nodes = await new Promise((resolve) => client.GetNodes({}, (_, answer) => resolve(answer)));
		expect(nodes).toMatchObject({ nodes: [{ name: 'node-a', state: 'NODE_CONNECTED' }] });
		const namespaces = await new Promise((resolve) => client.GetNamespaces({}, (_, answer) => resolve(answer)));
		expect(namespaces).toMatchObject({ namespaces: [{ namespace: 'data' }, { namespace: 'shop' }] });
	});

	it('sends a flow through a service with all names', async () => {
		record({ ...toService, timeNs: agent.clock.monotonicNs() });
		const [message] = await getFlows({ number: 20 });
		expect(message).toMatchObject({
			nodeName: 'node-a',
			time: { seconds: 1_769_860_800 },
			flow: {
				verdict: 'FORWARDED',
				IP: { source: '10.1.0.5', destination: '10.1.1.7', ipVersion: 'IPv4' },
				l4: { TCP: { sourcePort: 40000, destinationPort: 15432, flags: { SYN: true, ACK: false } } },
				source: { namespace: 'shop', podName: 'web-1', labels: ['k8s:app=web'], identity: 300 },
				destination: { namespace: 'data', podName: 'db-0' },
				destinationService: { namespace: 'data', name: 'db' },
				sourceService: null,
				Type: 'L3_L4',
				trafficDirection: 'EGRESS',
				isReply: { value: false },
				eventType: { type: 4, subType: 5 },
				traceObservationPoint: 5,
				traceReason: 'NEW',
				interface: { index: 7 },
				Summary: 'TCP Flags: SYN',
			},
		});
	});

	it('maps a drop to the nearest reason and tells the own one in the summary', async () => {
		record(dropped);
		const [message] = await getFlows();
		expect(message?.flow).toMatchObject({
			verdict: 'DROPPED',
			dropReason: 151,
			dropReasonDesc: 151,
			eventType: { type: 1, subType: 151 },
			trafficDirection: 'INGRESS',
			destination: { identity: 0, podName: '', labels: [] },
			Summary: expect.stringMatching(/^TCP Flags: SYN; no_route: /) as string,
		});
	});

	it.each([
		[{ hook: Hook.TO_POD }, { eventType: { type: 4, subType: 0 }, traceObservationPoint: 101 }],
		[
			{ type: EventType.SOCK_CONNECT, hook: Hook.SOCKET },
			{ Type: 'SOCK', verdict: 'TRANSLATED', sockXlatePoint: 2 },
		],
		[{ dst: '192.0.2.9' }, { destination: { identity: 2, labels: ['reserved:world'] } }],
		[
			{ proto: L4Proto.ICMP, tcpFlags: 8, icmpCode: 0 },
			{ l4: { ICMPv4: { type: 8 } }, Summary: 'ICMPv4 EchoRequest' },
		],
		[six, { IP: { ipVersion: 'IPv6' }, l4: { UDP: { destinationPort: 8080 } } }],
		[{ type: EventType.FLOW_CLOSE }, { traceReason: 'ESTABLISHED' }],
	])('sends %o as Hubble understands it', async (event, expected) => {
		record(event);
		expect((await getFlows())[0]?.flow).toMatchObject(expected);
	});

	it('tells who denied, by rule or by the lack of one, as its CLI prints it', async () => {
		const drop = { type: EventType.DROP, reason: DropReason.POLICY };
		record(
			{ ...drop, denied: JudgedSide.INGRESS, rule: [20, 1] },
			{ ...drop, denied: JudgedSide.EGRESS, rule: [21, 0] },
			{ type: EventType.POLICY_AUDIT, audited: JudgedSide.INGRESS, rule: [0, 21] },
			{ rule: [0, 20] },
		);
		const flows = (await getFlows()).map(({ flow }) => flow);
		const db = { kind: 'NetworkPolicy', namespace: 'data', name: 'db' };
		expect(flows[0]).toMatchObject({
			verdict: 'DROPPED',
			dropReasonDesc: 133,
			eventType: { type: 1, subType: 133 },
			trafficDirection: 'INGRESS',
			ingressDeniedBy: [db],
			egressAllowedBy: [db],
			egressDeniedBy: [],
		});
		expect(flows[0]?.Summary).toContain('policy: ingress denied: no policy allows it at 10.1.1.7');
		const guard = { kind: 'ClusterNetworkPolicy', namespace: '', name: 'guard' };
		expect(flows[1]).toMatchObject({
			...{ dropReasonDesc: 181, trafficDirection: 'EGRESS', egressDeniedBy: [guard] },
			policyMatchType: 1,
		});
		expect(flows[2]).toMatchObject({
			...{ verdict: 'AUDIT', dropReasonDesc: 0, eventType: { type: 5, subType: 0 } },
			...{ ingressDeniedBy: [guard], ingressAllowedBy: [], policyMatchType: 1 },
		});
		expect(flows[3]).toMatchObject({ verdict: 'FORWARDED', ingressAllowedBy: [db], policyMatchType: 2 });
		const audits = await getFlows({ whitelist: [{ verdict: ['AUDIT'] }] });
		expect(audits).toHaveLength(1);
		expect(await getFlows({ whitelist: [{ dropReasonDesc: [181] }] })).toHaveLength(1);
	});

	it('sends losses in their place', async () => {
		record(toService);
		agent.flows.recordLoss('kernel-ring', 9);
		record(toService);
		const kinds = (await getFlows()).map((message) => message.responseTypes);
		expect(kinds).toEqual(['flow', 'lostEvents', 'flow']);
		expect((await getFlows())[1]?.lostEvents).toMatchObject({ source: 'PERF_EVENT_RING_BUFFER', numEventsLost: 9 });
	});

	it('follows until the client cancels', async () => {
		const stream = client.GetFlows({ follow: true });
		const first = new Promise((resolve) => stream.once('data', resolve));
		await new Promise((resolve) => stream.once('metadata', resolve));
		record(toService);
		expect(await first).toMatchObject({ flow: { nodeName: 'node-a' } });
		const ended = new Promise<ServiceError>((resolve) => stream.once('error', resolve));
		stream.cancel();
		expect((await ended).code).toBe(1);
	});

	it('has the numbers of the published API on the wire', () => {
		const bytes = Observer.service.GetFlows.responseSerialize({
			flow: {
				time: { seconds: 1 },
				verdict: 'DROPPED',
				dropReasonDesc: 151,
				IP: { source: 'a', ipVersion: 'IPv6' },
				l4: { SCTP: { sourcePort: 3 } },
				source: { identity: 9, podName: 'p' },
				destination: { namespace: 'n' },
				Type: 'L3_L4',
				nodeName: 'x',
				eventType: { type: 1, subType: 151 },
				destinationService: { name: 's' },
				trafficDirection: 'EGRESS',
				isReply: { value: true },
				Summary: 'text',
			},
			nodeName: 'x',
			time: { seconds: 1 },
		});
		const response = fieldsOf(bytes);
		expect([...response.keys()].sort((a, b) => a - b)).toEqual([1, 1000, 1001]);
		const flow = fieldsOf(response.get(1)?.value as Uint8Array);
		expect([...flow.keys()].sort((a, b) => a - b)).toEqual([1, 2, 5, 6, 8, 9, 10, 11, 19, 21, 22, 25, 26, 100000]);
		expect([flow.get(2)?.value, flow.get(10)?.value, flow.get(22)?.value, flow.get(25)?.value]).toEqual([
			2n,
			1n,
			2n,
			151n,
		]);
		expect([...fieldsOf(flow.get(6)?.value as Uint8Array).keys()]).toEqual([5]);
		expect([...fieldsOf(flow.get(8)?.value as Uint8Array).keys()]).toEqual([2, 5]);
	});
});

describe('Hubble filters', () => {
	const cases: [FlowFilter, [boolean, boolean, boolean]][] = [
		[{}, [true, true, true]],
		[{ sourcePod: ['shop/'] }, [true, true, false]],
		[{ destinationPod: ['data/db'] }, [true, false, false]],
		[{ destinationIp: ['10.9.9.0/24', 'fd00::1'] }, [false, true, false]],
		[{ verdict: ['DROPPED', 'AUDIT'] }, [false, true, false]],
		[{ eventType: [{ type: 4 }] }, [true, false, true]],
		[{ eventType: [{ type: 4, matchSubType: true, subType: 5 }] }, [true, false, true]],
		[{ eventType: [{ type: 1, matchSubType: true, subType: 133 }] }, [false, false, false]],
		[{ destinationPort: ['15432'], protocol: ['tcp'] }, [true, false, false]],
		[{ destinationService: ['data/d'] }, [true, false, false]],
		[{ destinationService: ['other/db'] }, [false, false, false]],
		[{ sourceIdentity: [300] }, [true, false, false]],
		[{ destinationIdentity: [2] }, [false, false, true]],
		[{ sourceLabel: ['k8s:app=web'] }, [true, true, false]],
		[{ ipVersion: ['IPv6'] }, [false, false, true]],
		[{ trafficDirection: ['INGRESS'] }, [false, true, false]],
		[{ tcpFlags: [{ SYN: true, ACK: true }, { SYN: true }] }, [true, true, false]],
		[{ dropReasonDesc: [133, 151] }, [false, true, false]],
		[{ nodeName: ['default/node-*'] }, [true, true, true]],
		[{ nodeName: ['node'] }, [false, false, false]],
		[{ reply: [false] }, [true, true, true]],
		[{ interface: [{ index: 7 }] }, [true, false, false]],
	];

	it.each(cases)('%j selects %j', async (filter, expected) => {
		record(toService, dropped, six);
		const found = (await getFlows({ whitelist: [filter] })).map((message) => message.flow?.IP?.destination);
		expect(['10.1.1.7', '10.9.9.9', '2001:db8::1'].map((address) => found.includes(address))).toEqual(expected);
		const rest = await getFlows({ blacklist: [filter] });
		expect(rest.length).toBe(3 - found.length);
	});

	it.each([
		[{ whitelist: [{ httpMethod: ['GET'] }] }, 'whitelist[0].http_method: this server cannot filter by it'],
		[{ blacklist: [{}, { sourceFqdn: ['a.b'] }] }, 'blacklist[1].source_fqdn'],
		[{ whitelist: [{ experimental: { celExpression: ['true'] } }] }, 'experimental.cel_expression'],
		[{ whitelist: [{ sourceIp: ['x'] }] }, 'whitelist[0].source_ip[0]'],
		[{ whitelist: [{ sourcePort: ['http'] }] }, 'whitelist[0].source_port[0]'],
		[{ first: true, follow: true }, 'first'],
	])('refuses %j with INVALID_ARGUMENT', async (request, message) => {
		await expect(getFlows(request)).rejects.toMatchObject({
			code: 3,
			details: expect.stringContaining(message) as string,
		});
	});
});
