/**
 * What Fairlead says about its verdicts against what becomes of real connections: flow records, `fairlead policy`, `why-dropped`,
 * audit mode and counters.
 */
import { describe, expect, it } from 'vitest';
import { AUDIT_ANNOTATION } from '../../agent/model/policy-audit.ts';
import { CLIENT, eventually } from '../lib/cluster.ts';
import { runCli } from '../lib/fairlead-cli.ts';
import { type Member, OTHER, usePolicyNodes, VIP, WEB } from '../lib/policy-nodes.ts';

interface Explanation {
	readonly verdict: string;
	readonly reason: string;
	readonly steps: readonly { readonly about: string; readonly outcome: string; readonly text: string }[];
	readonly drops: readonly { readonly ingressPolicy?: { readonly text: string } }[];
}

interface ListedPolicy {
	readonly namespace: string;
	readonly name: string;
	readonly state: string;
	readonly pods: readonly string[];
	readonly counters: { readonly allowedPackets: number; readonly deniedPackets: number };
	readonly rules: readonly { readonly counters: { readonly flows: number; readonly allowedBytes: number } }[];
}

interface SeenFlow {
	readonly flow: {
		readonly verdict: string;
		readonly direction: string;
		readonly ingressPolicy?: {
			readonly verdict: string;
			readonly text: string;
			readonly policies: readonly { readonly name: string }[];
		};
	};
}

const NODE_PORT = 31_000;

describe('why a flow is dropped', () => {
	const { cluster, pod, toPod, toService, toNodePort, settled, policy, clusterPolicy, removePolicies, always } =
		usePolicyNodes('vxlan');
	const socketOf = (node: 1 | 2) => ({ socketPath: cluster().node(node).socket });

	async function json<T>(node: 1 | 2, ...args: string[]): Promise<T> {
		const { code, out, err } = await runCli([...args, '-o', 'json'], socketOf(node));
		expect({ code, err }).toEqual({ code: 0, err: '' });
		return JSON.parse(out) as T;
	}

	const why = (node: 1 | 2, ...args: string[]) => json<Explanation>(node, 'why-dropped', ...args);
	const stepOf = ({ steps }: Explanation, about: string) => steps.find((step) => step.about === about);

	async function observed(node: 1 | 2, ...args: string[]): Promise<SeenFlow['flow'][]> {
		const { out } = await runCli(['observe', '-o', 'json', '--last', '50', ...args], socketOf(node));
		return out
			.split('\n')
			.filter((line) => line !== '')
			.map((line) => (JSON.parse(line) as SeenFlow).flow);
	}

	const clientsOnly = (): void =>
		policy('clients', 'x', {
			podSelector: { matchLabels: { app: 'server' } },
			ingress: [{ from: [{ podSelector: { matchLabels: { app: 'client' } } }], ports: [{ port: WEB }] }],
		});

	it('why-dropped says what then happens, for pods of this node and others, services, the node and the outside', async () => {
		clientsOnly();
		const open = [toPod('client', 'server', WEB, ['TCP']), ...always()];
		const closed = [
			toPod('client', 'server', OTHER),
			toPod('other', 'server'),
			toPod('far', 'server'),
			toService('other'),
		];
		await settled(open, [...closed, toNodePort('outside', 1)]);
		const { v4, v6 } = cluster().node(1).addresses;
		const server = 'x/server';
		const web = String(WEB);
		const passes = [
			await why(1, 'x/client', server, web),
			await why(1, 'x/client', server, web, '-6'),
			await why(1, 'host', server, web),
			await why(1, 'x/server', 'service/x/web', '80'),
			await why(1, 'host', VIP.IPv4, '80'),
		];
		expect(passes.map(({ verdict }) => verdict)).toEqual(passes.map(() => 'forwarded'));
		expect(stepOf(passes[0]!, 'ingress')?.text).toBe('allowed by NetworkPolicy x/clients ingress rule 0');
		const refused = [
			await why(1, 'x/client', server, String(OTHER)),
			await why(1, 'x/client', server, web, '--protocol', 'udp'),
			await why(1, 'y/other', server, web, '-6'),
			await why(1, 'y/other', 'service/x/web', '80'),
			await why(1, pod('far').address('IPv4'), server, web),
			await why(1, CLIENT.v4, v4, String(NODE_PORT)),
			await why(1, CLIENT.v6, v6, String(NODE_PORT)),
		];
		for (const each of refused) {
			expect(each).toMatchObject({ verdict: 'dropped', reason: 'policy' });
			const step = stepOf(each, 'ingress');
			expect(step?.text).toBe('denied: no policy allows it (isolated by NetworkPolicy x/clients)');
		}
		expect(stepOf(refused[3]!, 'service')).toMatchObject({ outcome: 'ok', text: 'service x/web with 1 backend' });
		expect(refused[2]?.drops[0]?.ingressPolicy?.text).toContain('isolated by NetworkPolicy x/clients');
		const far = await why(2, 'y/far', server, web);
		expect(far.verdict).toBe('forwarded');
		expect(stepOf(far, 'ingress')).toMatchObject({ outcome: 'elsewhere', text: expect.stringContaining('node') });
	});

	it('why-dropped names what is no policy: services without the port, addresses of nobody', async () => {
		expect(await why(1, 'x/client', 'service/x/web', '81')).toMatchObject({ reason: 'undefined_port' });
		const nobody = pod('server').address('IPv4').replace(/\d+$/, '250');
		expect(await why(1, 'x/client', nobody, '80')).toMatchObject({ verdict: 'dropped', reason: 'no_route' });
		const { code, err } = await runCli(['why-dropped', 'x/nobody', 'x/server', '80'], socketOf(1));
		expect({ code, err }).toEqual({ code: 4, err: 'fairlead: pod x/nobody: not found\n' });
	});

	it('records name the policies that isolate a pod, and the rule that denies', async () => {
		clientsOnly();
		await settled([toPod('client', 'server', WEB, ['TCP'])], [toPod('other', 'server')]);
		await eventually('a record names the policy', async () => {
			const flows = await observed(1, '--verdict', 'dropped', '--from-pod', 'y/other', '--to-pod', 'x/server');
			const { ingressPolicy, direction } = flows.at(-1) ?? {};
			expect({ direction, verdict: ingressPolicy?.verdict }).toEqual({ direction: 'ingress', verdict: 'denied' });
			expect(ingressPolicy?.policies).toEqual([{ kind: 'NetworkPolicy', namespace: 'x', name: 'clients' }]);
		});
		clusterPolicy('guard', {
			...{ tier: 'Admin', priority: 1, subject: { namespaces: { matchLabels: { team: 'x' } } } },
			ingress: [{ action: 'Deny', from: [{ namespaces: { matchLabels: { team: 'x' } } }] }],
		});
		await settled([], [toPod('client', 'server', WEB, ['TCP'])]);
		await eventually('a record names the rule', async () => {
			const flows = await observed(1, '--verdict', 'dropped', '--from-pod', 'x/client', '--to-pod', 'x/server');
			expect(flows.at(-1)?.ingressPolicy?.text).toBe('ClusterNetworkPolicy guard ingress rule 0');
		});
		const { code, out } = await runCli(['policy', 'trace', 'x/client', 'x/server', '--port', String(WEB)], socketOf(1));
		expect(code).toBe(0);
		expect(out).toContain('denied by ClusterNetworkPolicy guard ingress rule 0\n');
		expect(out).toContain('  NetworkPolicy x/clients ingress rule 0: not reached\n');
	});

	it('a policy in audit mode reports what it would drop and drops nothing, until the annotation goes', async () => {
		const metadata = { name: 'trial', namespace: 'x', annotations: { [AUDIT_ANNOTATION]: 'true' } };
		const spec = { podSelector: { matchLabels: { app: 'server' } }, policyTypes: ['Ingress'] };
		const object = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec };
		cluster().objects.apply(object);
		const others = (['client', 'other', 'far'] as const).map((from: Member) => toPod(from, 'server'));
		await eventually('the policy is known', async () => {
			const { policies } = await json<{ policies: ListedPolicy[] }>(1, 'policy', 'list');
			expect(policies).toMatchObject([{ name: 'trial', state: 'audit', pods: ['x/server'] }]);
		});
		await settled(others, []);
		await eventually('audit records', async () => {
			const flows = await observed(1, '--verdict', 'audit', '--to-pod', 'x/server');
			expect(flows.at(-1)?.ingressPolicy).toMatchObject({ verdict: 'audited', policies: [{ name: 'trial' }] });
		});
		const asked = await why(1, 'y/other', 'x/server', String(WEB));
		expect(asked.verdict).toBe('forwarded');
		expect(stepOf(asked, 'ingress')?.outcome).toBe('audit');
		cluster().objects.apply({ ...object, metadata: { name: 'trial', namespace: 'x' } });
		await settled(always(), others);
		cluster().objects.remove('NetworkPolicy', 'trial', 'x');
		await settled(others, []);
	});

	it('with all policies in audit mode nothing is dropped, and everything that would be is reported', async () => {
		const node = cluster().node(1);
		const others = (['client', 'other', 'far'] as const).map((from) => toPod(from, 'server'));
		clientsOnly();
		clusterPolicy('guard', {
			...{ tier: 'Admin', priority: 1, subject: { namespaces: { matchLabels: { team: 'x' } } } },
			ingress: [{ action: 'Deny', from: [{ namespaces: { matchLabels: { team: 'y' } } }] }],
		});
		await settled(always(), [toPod('other', 'server'), toPod('far', 'server'), toPod('client', 'server', OTHER)]);
		await restart({ policyAuditMode: true });
		try {
			await settled([...others, toPod('client', 'server', OTHER), toNodePort('outside', 1), ...always()], []);
			const { policies } = await json<{ policies: ListedPolicy[] }>(1, 'policy', 'list');
			expect(policies.map(({ name, state }) => [name, state]).sort()).toEqual([
				['clients', 'audit'],
				['guard', 'audit'],
			]);
			for (const [from, text] of [
				['y/other', 'ClusterNetworkPolicy guard ingress rule 0'],
				['y/far', 'ClusterNetworkPolicy guard ingress rule 0'],
				['x/client', 'isolated by NetworkPolicy x/clients'],
			] as const) {
				await eventually(`an audit record about ${from}`, async () => {
					await settled(others, []);
					await settled([toPod('client', 'server', OTHER)], []);
					const flows = await observed(1, '--verdict', 'audit', '--from-pod', from, '--to-pod', 'x/server');
					expect(flows.at(-1)?.ingressPolicy?.text).toContain(text);
				});
			}
			const asked = await why(1, 'y/other', 'x/server', String(WEB));
			expect([asked.verdict, stepOf(asked, 'ingress')?.outcome]).toEqual(['forwarded', 'audit']);
		} finally {
			await restart({ policyAuditMode: false });
		}
		await settled(always(), [toPod('other', 'server'), toPod('far', 'server'), toPod('client', 'server', OTHER)]);

		async function restart(config: Record<string, unknown>): Promise<void> {
			await node.killAgent();
			node.configure(config);
			node.startAgent();
			await node.waitReady();
		}
	});

	it('policy get counts what rules allow and drop', async () => {
		clientsOnly();
		await settled([toPod('client', 'server', WEB, ['TCP'])], [toPod('other', 'server')]);
		// flows are looked at every 30 seconds
		const counted = await eventually(
			'flows are counted',
			async () => {
				const found = await json<ListedPolicy>(1, 'policy', 'get', 'x/clients');
				expect(found.counters.allowedPackets).toBeGreaterThan(0);
				return found;
			},
			{ timeoutMs: 60_000, intervalMs: 1000 },
		);
		expect(counted).toMatchObject({ state: 'enforced', pods: ['x/server'] });
		expect(counted.counters.deniedPackets).toBeGreaterThan(0);
		expect(counted.rules[0]?.counters.allowedBytes).toBeGreaterThan(100);
		const { isolated } = await json<{ isolated: { deniedPackets: number } }>(1, 'policy', 'list');
		expect(isolated.deniedPackets).toBeGreaterThan(0);
		removePolicies();
		await settled([toPod('other', 'server')], []);
		expect(await json(1, 'policy', 'list')).toMatchObject({ policies: [] });
	});
});
