import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { CAPABILITIES } from '../../manifests/source/daemon-set.ts';
import { baseInstallation } from '../../manifests/source/generate.ts';
import { clusterRole } from '../../manifests/source/rbac.ts';
import type { SeenRequest } from '../apiserver/server.ts';
import { useCluster } from '../lib/cluster/use.ts';
import { ask, type ClusterNode, type Pod, ROUTER_OUTSIDE, sleep } from '../lib/cluster.ts';
import { awaitBackends, ECHO_SERVICE, VIP } from '../lib/echo-cluster.ts';

const NUMBERS = { NET_ADMIN: 12, NET_RAW: 13, SYS_ADMIN: 21, SYS_RESOURCE: 24 } as const;

/** Capabilities in a mask; those of no interest by number. */
function namesOf(mask: bigint): string[] {
	const bits = Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => (mask >> BigInt(bit)) & 1n);
	return bits.map((bit) => Object.entries(NUMBERS).find(([, number]) => number === bit)?.[0] ?? String(bit));
}

describe('an agent with what the manifests give it', () => {
	const cluster = useCluster({ nodes: 1, source: 'kubernetes', withoutAgents: true });
	const node = (): ClusterNode => cluster().node(1);

	/** As a container runtime starts it: user 0, nothing but these, nothing to be gained by exec. */
	function startWith(capabilities: readonly string[]): void {
		const bounding = ['-all', ...capabilities.map((name) => `+${name.toLowerCase()}`)].join(',');
		node().startAgent(undefined, [
			'setpriv',
			`--bounding-set=${bounding}`,
			'--inh-caps=-all',
			'--ambient-caps=-all',
			'--',
		]);
	}

	afterEach(() => node().killAgent());

	it.each([
		['forwarding without NET_ADMIN', ['SYS_ADMIN', 'SYS_RESOURCE'], /SYSCTL_FAILED: .* EPERM/],
		['programs without SYS_ADMIN', ['NET_ADMIN', 'SYS_RESOURCE'], /cannot use BPF at all: .*EPERM/],
		['programs with BPF and PERFMON in place of SYS_ADMIN', ['NET_ADMIN', 'BPF', 'PERFMON'], /cannot read BTF .*EPERM/],
	])(
		'are needed: no %s',
		async (_, capabilities, reason) => {
			startWith(capabilities);
			const ended = await Promise.race([node().agent?.exited, sleep(90_000)]);
			expect(ended).toBe(1);
			expect(node().agentLogTail(20).split('--- agent started').at(-1)).toMatch(reason);
		},
		120_000,
	);

	it('are enough for programs, devices, pods in their namespaces, services and a second start', async () => {
		startWith(CAPABILITIES);
		await node().waitReady(60_000);
		const status = readFileSync(`/proc/${node().agent?.pid}/status`, 'utf8');
		const [, effective = '0'] = /^CapEff:\s*([0-9a-f]+)$/m.exec(status) ?? [];
		// the machine itself may lack what only older kernels need
		expect(namesOf(BigInt(`0x${effective}`)).filter((name) => name !== 'SYS_RESOURCE')).toEqual(
			CAPABILITIES.filter((name) => name !== 'SYS_RESOURCE'),
		);
		const [a1, a2] = await Promise.all(['a1', 'a2'].map((name) => cluster().createPod({ node: node(), name })));
		await a2?.startEcho();
		cluster().publish(ECHO_SERVICE, [a2 as Pod]);
		for (const family of cluster().families) await awaitBackends(a1 as Pod, VIP[family], 80, ['a2']);
		await (a1 as Pod).run(['ping', '-c', '1', '-W', '5', ROUTER_OUTSIDE.v4]);
		await cluster().deletePod(a2 as Pod);
		const { servers } = await ask(a1 as Pod, { mode: 'tcp', host: VIP.IPv4, port: 80, timeoutMs: 300 });
		expect(servers).toEqual({});
		await node().killAgent();
		startWith(CAPABILITIES);
		await node().waitReady(60_000);
		const { stdout } = await node().cli('status', '-o', 'json');
		expect(JSON.parse(stdout)).toMatchObject({ ready: true, warnings: [] });
	});

	it('asks nothing of the API that its ClusterRole does not allow', async () => {
		const { rules = [] } = clusterRole(baseInstallation());
		const seen = (await cluster().api.call('seen', {})) as readonly SeenRequest[];
		const asked = new Map(
			seen
				.filter(({ resource, token }) => resource !== '' && token !== '')
				.map(({ verb, group, resource, subresource }) => {
					const name = subresource === '' ? resource : `${resource}/${subresource}`;
					return [`${verb} ${group}/${name}`, { verb, group, name }];
				}),
		);
		const refused = [...asked].filter(
			([, { verb, group, name }]) =>
				!rules.some(
					(rule) => rule.verbs.includes(verb) && rule.apiGroups?.includes(group) && rule.resources?.includes(name),
				),
		);
		expect([...asked.keys()]).toEqual(
			expect.arrayContaining(['list /services', 'watch /nodes', 'watch discovery.k8s.io/endpointslices']),
		);
		expect(refused.map(([what]) => what)).toEqual([]);
	});
});
