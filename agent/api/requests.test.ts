import { describe, expect, it } from 'vitest';
import type { FlowFilter } from '../../proto/generated/fairlead/v1/FlowFilter.ts';
import type { ObserveFlowsRequest } from '../../proto/generated/fairlead/v1/ObserveFlowsRequest.ts';
import { loadAgentApi } from '../../proto/load.ts';
import { CONNTRACK } from '../../test/lib/fake-agent.ts';
import { parseConntrackRequest, parseObserveRequest } from './requests.ts';

const { ObserveFlows, ListConntrack } = loadAgentApi().Agent.service;

/** As the server sees a request after it went over the wire. */
function received(request: ObserveFlowsRequest) {
	return ObserveFlows.requestDeserialize(ObserveFlows.requestSerialize(request));
}

const conntrack = (request: object) =>
	parseConntrackRequest(ListConntrack.requestDeserialize(ListConntrack.requestSerialize(request)));

describe('parseObserveRequest', () => {
	it('takes an empty request as everything in the history', () => {
		expect(parseObserveRequest(received({}))).toEqual({
			include: [],
			exclude: [],
			number: 0,
			first: false,
			sinceNs: undefined,
			untilNs: undefined,
			follow: false,
		});
	});

	it('reads times to the nanosecond', () => {
		const query = parseObserveRequest(received({ since: { seconds: 1_769_860_800, nanos: 123_456_789 } }));
		expect(query.sinceNs).toBe(1_769_860_800_123_456_789n);
	});

	it('takes numbers that JavaScript cannot count to as no limit', () => {
		const query = parseObserveRequest(received({ number: '18446744073709551615' }));
		expect(query.number).toBe(Number.MAX_SAFE_INTEGER);
	});

	it('keeps every field of a filter', () => {
		const filter: FlowFilter = {
			pod: ['a/b'],
			sourcePod: ['c'],
			destinationPod: ['d'],
			namespace: ['n'],
			ip: ['10.0.0.1'],
			sourceIp: ['10.0.0.2'],
			destinationIp: ['10.0.0.3'],
			port: [1],
			sourcePort: [2],
			destinationPort: [3],
			protocol: ['tcp'],
			verdict: ['VERDICT_DROPPED', 'VERDICT_TRANSLATED'],
			reason: ['policy'],
			service: ['s'],
			label: ['a=b'],
			sourceLabel: ['c'],
			destinationLabel: ['!d'],
			kind: ['FLOW_KIND_NAT_EXHAUSTED'],
			direction: ['TRAFFIC_DIRECTION_EGRESS'],
			ipVersion: [6],
			tcpFlags: ['syn'],
			reply: false,
		};
		const query = parseObserveRequest(received({ include: [filter], exclude: [{ pod: ['x'] }] }));
		expect(query.include).toEqual([
			{ ...filter, verdict: ['dropped', 'translated'], kind: ['nat-exhausted'], direction: ['egress'] },
		]);
		expect(query.exclude?.[0]).toMatchObject({ pod: ['x'] });
		expect(query.exclude?.[0]?.reply).toBeUndefined();
	});

	it.each([
		[{ since: { seconds: -1, nanos: 0 } }, 'since'],
		[{ until: { seconds: 1, nanos: -1 } }, 'until'],
		[{ until: { seconds: 1e15, nanos: 0 } }, 'until'],
		[{ include: [{}, { verdict: ['VERDICT_UNSPECIFIED' as const] }] }, 'include[1].verdict[0]'],
		[{ exclude: [{ kind: [99 as 0] }] }, 'exclude[0].kind[0]'],
	])('names the bad field of %j', (request, field) => {
		expect(() => parseObserveRequest(received(request))).toThrowError(
			expect.objectContaining({ code: 'REQUEST_INVALID', fields: { field } }),
		);
	});
});

describe('parseConntrackRequest', () => {
	it.each([
		[{}, [true, true]],
		[{ address: '10.1.1.7' }, [true, false]],
		[{ address: '2001:db8::/64' }, [false, true]],
		[{ port: 15432 }, [true, false]],
		[{ port: 53, protocol: 'UDP' }, [false, true]],
		[{ port: 53, protocol: 'tcp' }, [false, false]],
	])('selects with %j', (request, expected) => {
		const test = conntrack(request);
		expect(CONNTRACK.map(test)).toEqual(expected);
	});

	it.each([
		[{ address: 'x' }, 'address'],
		[{ port: 65536 }, 'port'],
		[{ protocol: 'x' }, 'protocol'],
	])('names the bad field of %j', (request, field) => {
		expect(() => conntrack(request)).toThrowError(expect.objectContaining({ fields: { field } }));
	});
});
