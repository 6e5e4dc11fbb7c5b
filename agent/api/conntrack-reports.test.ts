import { describe, expect, it } from 'vitest';
import { CtEntry, CtFlags, CtKey, L4Proto } from '../../native/abi/generated.ts';
import { pod, resolverOf, service } from '../../test/lib/flow-records.ts';
import { addressBytes } from '../model/address.ts';
import { conntrackReport } from './conntrack-reports.ts';
import type { ConntrackReport } from './state.ts';

const names = resolverOf({ '10.1.0.5': pod('shop', 'web-1'), '10.96.0.3': service('data', 'db') });
function reportOf({ key = {}, entry = {} }: { key?: Partial<CtKey>; entry?: Partial<CtEntry> }): ConntrackReport {
	const zeroKey = CtKey.decode(new Uint8Array(CtKey.size));
	const tuple = { lo: addressBytes('10.1.0.5'), hi: addressBytes('10.96.0.3'), loPort: 40000, hiPort: 5432 };
	return conntrackReport(
		{ ...zeroKey, ...tuple, proto: L4Proto.TCP, ...key },
		{ ...CtEntry.decode(new Uint8Array(CtEntry.size)), ...entry },
		{ names, jiffiesNow: 1000, hz: 250 },
	);
}

describe('conntrackReport', () => {
	it('shows a service flow from the initiator to what it addressed, with names', () => {
		const flags = CtFlags.SVC_FORWARD | CtFlags.ESTABLISHED;
		const report = reportOf({
			entry: {
				flags,
				xlateAddr: addressBytes('10.1.1.7'),
				xlatePort: 15432,
				packets: [3, 2],
				bytes: [300n, 2n ** 50n],
			},
		});
		expect(report).toMatchObject({
			protocol: 6,
			source: '10.1.0.5',
			sourcePort: 40000,
			destination: '10.96.0.3',
			destinationPort: 5432,
			translated: '10.1.1.7',
			translatedPort: 15432,
			state: 'established',
			flags: ['svc_forward'],
			packetsForward: 3,
			packetsReply: 2,
			bytesForward: 300n,
			bytesReply: 2n ** 50n,
			sourceName: { name: 'web-1' },
			destinationName: { name: 'db' },
		});
	});

	it('turns the ends around when the initiator is the higher one', () => {
		const report = reportOf({ entry: { flags: CtFlags.INITIATOR_IS_HI } });
		expect(report).toMatchObject({ source: '10.96.0.3', sourcePort: 5432, destination: '10.1.0.5', flags: [] });
	});

	it('shows nothing as translated when nothing is', () => {
		const report = reportOf({ entry: { xlatePort: 7 } });
		expect(report).toMatchObject({ translated: '', translatedPort: 0, snatPort: 0 });
	});

	it('shows the port that a masqueraded flow has, not its destination once more', () => {
		const same = { xlateAddr: addressBytes('10.96.0.3'), xlatePort: 5432, snatPort: 61000 };
		expect(reportOf({ entry: same })).toMatchObject({ translated: '', translatedPort: 0, snatPort: 61000 });
		const otherPort = reportOf({ entry: { ...same, xlatePort: 5433 } });
		expect(otherPort).toMatchObject({ translated: '10.96.0.3', translatedPort: 5433 });
	});

	it.each([
		[0, 'new'],
		[CtFlags.ESTABLISHED, 'established'],
		[CtFlags.ESTABLISHED | CtFlags.CLOSING, 'closing'],
	])('calls flags %i %s', (flags, state) => {
		expect(reportOf({ entry: { flags } }).state).toBe(state);
	});

	it('gives times in milliseconds, also across the wrap of jiffies', () => {
		expect(reportOf({ entry: { lastSeen: 750, created: 0 } })).toMatchObject({ idleMs: 1000, ageMs: 4000 });
		expect(reportOf({ entry: { lastSeen: 2 ** 32 - 1000, created: 1001 } })).toMatchObject({
			idleMs: 8000,
			ageMs: 0,
		});
	});
});
