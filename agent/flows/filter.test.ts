import { describe, expect, it } from 'vitest';
import { DropReason, EventType, Hook, L4Proto } from '../../native/abi/generated.ts';
import type { EventFields } from '../../test/lib/flow-records.ts';
import { flowRecord, pod, resolverOf, service } from '../../test/lib/flow-records.ts';
import type { FlowFilter } from './filter.ts';
import { compileFilters } from './filter.ts';
import type { Flow } from './flow.ts';
import { FlowHistory } from './history.ts';

const names = resolverOf({
	'10.1.0.5': pod('shop', 'web-1', { app: 'web', tier: 'front' }),
	'10.1.1.7': pod('data', 'db-0', { app: 'db' }),
	'10.96.0.3': service('data', 'db'),
});

function flowOf(fields: EventFields): Flow {
	const history = new FlowHistory({ capacity: 1, nodeName: 'node-a', names });
	history.push(flowRecord(fields), 0n);
	const flow = history.get(0);
	if (flow === undefined) throw new Error('record was refused');
	return flow;
}

/** web-1 → db (VIP 10.96.0.3:5432) → db-0:15432 */
const toService = flowOf({ origDst: '10.96.0.3', origDport: 5432, dport: 15432 });
const dropped = flowOf({ type: EventType.DROP, reason: DropReason.NO_ROUTE, dst: '10.9.9.9', hook: Hook.TO_POD });
const six = flowOf({ src: 'fd00::5', dst: '2001:db8::1', proto: L4Proto.UDP, tcpFlags: 0 });

const cases: [string, FlowFilter, boolean, boolean, boolean][] = [
	['an empty filter', {}, true, true, true],
	['pod by prefix', { pod: ['web'] }, true, true, false],
	['pod by namespace and prefix', { pod: ['shop/web-'] }, true, true, false],
	['pod in another namespace', { pod: ['data/web'] }, false, false, false],
	['every pod of a namespace', { pod: ['data/'] }, true, false, false],
	['a pod prefix that only a service has', { destinationPod: ['data/db'] }, true, false, false],
	['source pod', { sourcePod: ['db-0'] }, false, false, false],
	['destination pod', { destinationPod: ['db-0'] }, true, false, false],
	['namespace of either end', { namespace: ['data'] }, true, false, false],
	['one of several namespaces', { namespace: ['none', 'shop'] }, true, true, false],
	['address', { ip: ['10.1.0.5'] }, true, true, false],
	['CIDR', { ip: ['10.1.1.0/24'] }, true, false, false],
	['address before translation', { destinationIp: ['10.96.0.3'] }, true, false, false],
	['the translated address is not the source', { sourceIp: ['10.96.0.3'] }, false, false, false],
	['IPv6 CIDR', { destinationIp: ['2001:db8::/32'] }, false, false, true],
	['port before translation', { port: [5432] }, true, false, false],
	['port after translation', { destinationPort: [15432] }, true, false, false],
	['source port', { sourcePort: [40000] }, true, true, true],
	['label', { label: ['app=web'] }, true, true, false],
	['label set', { sourceLabel: ['tier in (front, back),!canary'] }, true, true, false],
	['label of the other end', { destinationLabel: ['app=web'] }, false, false, false],
	['service', { service: ['data/db'] }, true, false, false],
	['protocol', { protocol: ['UDP'] }, false, false, true],
	['protocol number', { protocol: ['6'] }, true, true, false],
	['verdict', { verdict: ['dropped'] }, false, true, false],
	['drop reason', { reason: ['no-route'] }, false, true, false],
	['another drop reason', { reason: ['policy'] }, false, false, false],
	['direction', { direction: ['ingress'] }, false, true, false],
	['IP version', { ipVersion: [6] }, false, false, true],
	['TCP flag', { tcpFlags: ['syn'] }, true, true, false],
	['TCP flags that are not all set', { tcpFlags: ['syn+ack'] }, false, false, false],
	['no reply', { reply: false }, true, true, true],
	['reply', { reply: true }, false, false, false],
	['two fields: both must match', { pod: ['web'], verdict: ['forwarded'] }, true, false, false],
	['empty lists mean nothing is asked', { pod: [], port: [] }, true, true, true],
];

describe('compileFilters', () => {
	it.each(cases)('%s', (_title, filter, service_, drop, v6) => {
		const test = compileFilters([filter], []);
		expect([test(toService), test(dropped), test(six)]).toEqual([service_, drop, v6]);
	});

	it('passes a flow that matches one of several filters', () => {
		const test = compileFilters([{ ipVersion: [6] }, { verdict: ['dropped'] }], []);
		expect([test(toService), test(dropped), test(six)]).toEqual([false, true, true]);
	});

	it('refuses a flow that matches an excluded filter, even if it is included', () => {
		const test = compileFilters([{ protocol: ['tcp'] }], [{ verdict: ['dropped'] }]);
		expect([test(toService), test(dropped), test(six)]).toEqual([true, false, false]);
	});

	it.each([
		[{ ip: ['10.0.0.1', 'nonsense'] }, 'include[0].ip[1]', 'nonsense'],
		[{ sourceIp: ['10.0.0.0/99'] }, 'include[0].source_ip[0]', '10.0.0.0/99'],
		[{ port: [0] }, 'include[0].port[0]', '0'],
		[{ destinationPort: [70000] }, 'include[0].destination_port[0]', '70000'],
		[{ pod: ['a/b/c'] }, 'include[0].pod[0]', 'a/b/c'],
		[{ pod: ['/x'] }, 'include[0].pod[0]', '/x'],
		[{ label: ['a in b'] }, 'include[0].label[0]', 'a in b'],
		[{ protocol: ['ipx'] }, 'include[0].protocol[0]', 'ipx'],
		[{ reason: ['bad luck'] }, 'include[0].reason[0]', 'bad luck'],
		[{ tcpFlags: ['syn+foo'] }, 'include[0].tcp_flags[0]', 'syn+foo'],
		[{ ipVersion: [5] }, 'include[0].ip_version[0]', '5'],
	] as const)('names the field of a bad value: %o', (filter, field, value) => {
		expect(() => compileFilters([filter], [])).toThrowError(
			expect.objectContaining({
				code: 'REQUEST_INVALID',
				fields: { field },
				message: expect.stringContaining(value) as string,
			}),
		);
	});
});
