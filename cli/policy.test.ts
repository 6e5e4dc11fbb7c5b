/**
 * `fairlead policy` and `why-dropped` as processes against the real API server over invented policies.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { DropReason, EventType, JudgedSide } from '../native/abi/generated.ts';
import { runCli } from '../test/lib/fairlead-cli.ts';
import type { FakeAgent } from '../test/lib/fake-agent.ts';
import { startFakeAgent } from '../test/lib/fake-agent.ts';
import { flowRecord } from '../test/lib/flow-records.ts';

let agent: FakeAgent;
beforeAll(async () => {
	agent = await startFakeAgent();
	agent.flows.record([
		flowRecord({
			...{ type: EventType.DROP, reason: DropReason.POLICY, denied: JudgedSide.INGRESS, rule: [0, 1], dport: 5432 },
			timeNs: agent.clock.monotonicNs(),
		}),
	]);
});
afterAll(() => agent?.stop());

const run = (...args: string[]) => runCli(args, { socketPath: agent.socketPath });

describe('fairlead policy list', () => {
	it('shows whom policies select, whether they are in force, and what they counted', async () => {
		const { code, err, out } = await run('policy', 'list');
		expect({ code, err }).toEqual({ code: 0, err: '' });
		expect(out.split('\n')).toEqual([
			'POLICY    TIER       DIRECTIONS   STATE      PODS   ALLOWED        DENIED',
			'guard     Admin 10   ingress      closed     3      0              0',
			'x/web     -          ingress      enforced   3      12 (2.9 KiB)   7 (420 B)',
			'y/trial   -          ingress      audit      1      0              0',
			'',
			'No rule allowed it, at pods that some policy isolates: 7 (420 B)',
			'',
			'Problems:',
			'guard: denies everything: map policy: no room for another row',
			'',
		]);
	});

	it('gives one namespace as YAML', async () => {
		const { out } = await run('policy', 'list', '-n', 'x', '-o', 'yaml');
		const { policies, isolated, counted } = parse(out);
		expect(policies).toMatchObject([
			{ kind: 'NetworkPolicy', namespace: 'x', name: 'web', state: 'enforced', pods: ['x/a', 'x/b', 'x/c'] },
		]);
		expect(isolated).toMatchObject({ deniedPackets: 7, deniedBytes: 420 });
		expect(counted).toBe('2026-01-31T12:30:00Z');
	});
});

describe('fairlead policy get', () => {
	it('shows the rules of a policy with their counters', async () => {
		const { out } = await run('policy', 'get', 'x/web');
		expect(out).toMatch(/Selects: +all pods in x\n/);
		expect(out).toMatch(/No rule allowed: +7 \(420 B\)\n/);
		expect(out.split('\n').slice(-3)).toEqual([
			'RULE        ACTION   PEERS              PORTS    FLOWS   ALLOWED        DENIED',
			'ingress 0   accept   all pods in ns=y   80/TCP   2       12 (2.9 KiB)   0',
			'',
		]);
	});

	it('gives a cluster policy as JSON', async () => {
		const { out } = await run('policy', 'get', 'guard', '-o', 'json');
		expect(JSON.parse(out)).toMatchObject({
			kind: 'ClusterNetworkPolicy',
			tier: 'Admin 10',
			rules: [{ direction: 'ingress', index: 0, name: 'no z', action: 'deny', peers: ['all pods in ns=z'] }],
		});
	});

	it('says when there is none, and what a name looks like', async () => {
		expect(await run('policy', 'get', 'x/none')).toMatchObject({
			code: 4,
			err: 'fairlead: policy x/none: not found\n',
		});
		expect((await run('policy', 'get', 'a/b/c')).code).toBe(2);
	});
});

describe('fairlead policy trace', () => {
	it('asks the rules in order, also for pods by name', async () => {
		const { out } = await run('policy', 'trace', 'y/a', 'x/a', '--port', '80');
		expect(out.replace(/identity \d+/g, 'identity N').split('\n')).toEqual([
			'10.244.2.1 (pod y/a) -> 10.244.1.1 (pod x/a)',
			'egress of pod y/a, to 10.244.1.1 (pod x/a): allowed, no policy restricts it',
			expect.stringMatching(/^ {2}policy set \d+, identity N$/),
			'ingress of pod x/a, from 10.244.2.1 (pod y/a): allowed by NetworkPolicy x/web ingress rule 0',
			expect.stringMatching(/^ {2}policy set \d+, identity N$/),
			'  ClusterNetworkPolicy guard ingress rule 0: not about this peer',
			'  NetworkPolicy x/web ingress rule 0: accepts',
			'Allowed as far as this node judges.',
			'',
		]);
	});

	it('tells what audit mode lets through', async () => {
		const { out } = await run('policy', 'trace', 'x/a', 'y/a', '--port', '80', '-6', '-o', 'json');
		const { directions, source } = JSON.parse(out) as { directions: unknown[]; source: string };
		expect(source).toBe('fd00:244:0:1::1 (pod x/a)');
		expect(directions[1]).toMatchObject({
			...{ direction: 'ingress', verdict: 'audited', by: 'not allowed' },
			isolatedBy: ['NetworkPolicy y/trial'],
		});
	});

	it('wants a port where the protocol has one, and known ends', async () => {
		expect((await run('policy', 'trace', 'x/a', 'y/a')).code).toBe(2);
		expect((await run('policy', 'trace', 'x/a', 'y/nobody', '--port', '80')).code).toBe(4);
		expect((await run('policy', 'trace', 'x/a', 'nonsense', '--port', '80')).code).toBe(2);
	});
});

describe('fairlead why-dropped', () => {
	it('prints the chain of reasons and the drops that were seen', async () => {
		const { code, out } = await run('why-dropped', 'shop/web-1', 'shop/db-0', '5432');
		expect(code).toBe(0);
		const lines = out.split('\n');
		expect(lines.slice(0, 4)).toEqual([
			'10.1.0.5 (pod shop/web-1) -> 10.1.1.7 (pod shop/db-0) port 5432',
			'  source   ok     a pod of this node',
			'  ingress  DROP   denied: no policy allows it (isolated by NetworkPolicy shop/db)',
			'',
		]);
		expect(lines[4]).toBe('Dropped, policy: no policy allows this connection, or one denies it (asked on node-a)');
		expect(lines.slice(5).join('\n')).toContain('ingress denied: no policy allows it at 10.1.1.7');
	});

	it('gives the same as JSON', async () => {
		const { out } = await run('why-dropped', 'shop/web-1', 'shop/db-0', '5432', '-o', 'json');
		expect(JSON.parse(out)).toMatchObject({
			verdict: 'dropped',
			reason: 'policy',
			steps: [{ about: 'source', outcome: 'ok' }, { about: 'ingress' }],
			drops: [{ verdict: 'dropped', ingressPolicy: { verdict: 'denied', policies: [{ name: 'db' }] } }],
		});
	});
});
