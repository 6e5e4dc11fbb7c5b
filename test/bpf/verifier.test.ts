/** What the programs ask of the verifier: every first start and every new version of an agent waits for it. See docs/decisions/0036. */
import { beforeAll, describe, expect, it } from 'vitest';
import { buildPrograms } from '../../scripts/build-bpf.ts';
import { isKernelSince } from '../lib/kernel-version.ts';
import { TELLS_SINCE } from '../lib/verified-instructions.ts';
import { loadPrograms } from '../lib/verified-programs.ts';

/** Instructions that the verifier may look at: half as many again as that of 6.18 does, as others differ. */
const LIMIT_PROGRAM = 200_000;
const LIMIT_START = 1_000_000;

beforeAll(() => buildPrograms());

describe.skipIf(!isKernelSince(TELLS_SINCE))('the verifier', () => {
	it.each([
		{ title: 'as by default', changes: {} },
		{ title: 'with direct server return by IP in IP', changes: { northSouth: 1 } },
	])('looks at few instructions of all programs, $title', async ({ changes }) => {
		const { instructions } = await loadPrograms(changes);
		expect([...instructions.keys()]).toEqual(
			expect.arrayContaining([
				...['from_pod', 'to_pod', 'from_uplink', 'to_uplink', 'from_overlay', 'to_overlay'],
				...['from_host_device', 'xdp_lb', 'sock_connect4', 'sock_sendmsg6'],
			]),
		);
		const tooMany = [...instructions].filter(([, count]) => count > LIMIT_PROGRAM);
		expect(tooMany, 'look for loops over inlined functions; see docs/decisions/0036').toEqual([]);
		const all = [...instructions.values()].reduce((sum, count) => sum + count, 0);
		expect(all).toBeLessThanOrEqual(LIMIT_START);
		expect(all).toBeGreaterThan(0);
	});
});
