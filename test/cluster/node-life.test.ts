import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ask as askApi } from '../apiserver/client.ts';
import { ROOT } from '../lib/cluster/node.ts';
import { nodeObject } from '../lib/cluster/objects.ts';
import { useCluster } from '../lib/cluster/use.ts';
import { WITHOUT_LOOKS } from '../lib/cluster/without-looks.ts';
import { eventually, run, sleep } from '../lib/cluster.ts';

/** A classifier that no packet matches. */
const ACCEPT = ['bpf', 'bytecode', '1,6 0 0 0,'];
const TAINT = 'node.fairlead.dev/agent-not-ready';

interface EventObject {
	readonly involvedObject: { readonly kind: string; readonly name: string };
	readonly reason: string;
	readonly message: string;
	readonly count: number;
	readonly source: { readonly host: string };
}

interface NodeObject {
	readonly spec: { readonly podCIDRs?: string[]; readonly taints?: object[] };
	readonly status: { readonly conditions?: { type: string; status: string; reason: string }[] };
}

describe('the life of a node', () => {
	const cluster = useCluster({ source: 'kubernetes', nodes: 1, withoutAgents: true, config: { podWaitMs: 500 } });
	const node = () => cluster().node(1);

	/** A request to the API server as kubectl makes it. */
	async function api(method: string, path: string, body?: object, contentType?: string): Promise<unknown> {
		await cluster().api.flush();
		const answer = await askApi({ socketPath: `${cluster().api.dir}/api.sock` }, method, path, body, contentType);
		if (answer.code >= 300) throw new Error(`${method} ${path}: ${answer.code} ${JSON.stringify(answer.body)}`);
		return answer.body;
	}

	const readNode = async () => (await api('GET', '/api/v1/nodes/node1')) as NodeObject;

	async function events(reason: string): Promise<EventObject[]> {
		const { items } = (await api('GET', '/api/v1/events')) as { items: EventObject[] };
		return items.filter((event) => event.reason === reason);
	}

	async function status(): Promise<{ problems: string[]; warnings: string[] }> {
		const { stdout } = await node().run(node().cliCommand('status', '-o', 'json'), { allowFailure: true });
		return JSON.parse(stdout) as { problems: string[]; warnings: string[] };
	}

	it('waits for the pod CIDRs of its Node, and says so', async () => {
		const { podCIDRs } = (await readNode()).spec;
		await api(
			'PATCH',
			'/api/v1/nodes/node1',
			{ spec: { podCIDR: null, podCIDRs: null } },
			'application/merge-patch+json',
		);
		const taints = [
			{ key: 'gpu', effect: 'NoSchedule' },
			{ key: TAINT, effect: 'NoSchedule' },
			{ key: TAINT, effect: 'NoExecute' },
		];
		await api('PATCH', '/api/v1/nodes/node1', { spec: { taints } }, 'application/merge-patch+json');
		node().startAgent();
		await eventually('the agent says what it waits for', async () =>
			expect((await status()).problems).toEqual(['waiting for spec.podCIDRs of Node node1']),
		);
		await eventually('there is an Event', async () => {
			expect(await events('NoPodCIDR')).toMatchObject([{ involvedObject: { kind: 'Node', name: 'node1' }, count: 1 }]);
		});
		expect(() => node().cni.network()).toThrow('no network configuration');
		expect((await readNode()).spec.taints).toEqual(taints);
		// the next test is about what stands in the way then
		await node().run(['nft', 'add table inet wall; add chain inet wall out { type filter hook output priority 0; }']);
		await node().run(['nft', 'add rule inet wall out ip daddr 10.244.0.0/16 tcp dport 1 drop']);
		await api('PATCH', '/api/v1/nodes/node1', { spec: { podCIDRs } }, 'application/merge-patch+json');
	});

	it('takes no pods while the self-test fails', async () => {
		await eventually(
			'an Event',
			async () => {
				const [event] = await events('SelfTestFailed');
				expect(event?.message).toMatch(/^no answer from a probe at 10\.244\.1\.\d+: /);
			},
			{ timeoutMs: 60_000 },
		);
		expect((await status()).problems.join()).toContain('self-test: no answer from a probe');
		expect(() => node().cni.network()).toThrow('no network configuration');
		expect((await readNode()).spec.taints).toHaveLength(3);
		await node().run(['nft', 'delete table inet wall']);
		await node().waitReady();
		const { stdout } = await node().cli('endpoint', 'list', '-o', 'json');
		expect(stdout).not.toContain('fairlead-self-test');
	});

	it('tells the scheduler when pods can be attached, and leaves the taints of others', async () => {
		await eventually('condition and taint', async () => {
			const { spec, status: state } = await readNode();
			expect(spec.taints).toEqual([{ key: 'gpu', effect: 'NoSchedule' }]);
			expect(state.conditions).toMatchObject([{ type: 'NetworkUnavailable', status: 'False', reason: 'FairleadIsUp' }]);
		});
		await eventually('an Event', async () => expect(await events('FairleadIsUp')).toHaveLength(1));
	});

	it('takes its taint away again when somebody brings it back', async () => {
		const taints = [
			{ key: TAINT, effect: 'NoSchedule' },
			{ key: 'gpu', effect: 'NoSchedule' },
		];
		await api('PATCH', '/api/v1/nodes/node1', { spec: { taints } }, 'application/merge-patch+json');
		await eventually('it is gone', async () => expect((await readNode()).spec.taints).toEqual(taints.slice(1)));
	});

	const podWith = (name: string, podIP: string, spec: object = {}) => ({
		...{ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'default' } },
		spec: { nodeName: 'node1', containers: [{ name: 'main', image: 'local' }], ...spec },
		status: { phase: 'Running', podIP, podIPs: [{ ip: podIP }] },
	});

	describe('what somebody takes away', () => {
		const pins = () => join(node().bpffsDir, 'links');
		const route = () => `10.244.2.0/24`;

		it('is put back: programs at every hook, devices, routes and the CNI configuration', async () => {
			cluster().objects.apply(nodeObject('node2', 2, 0, ['IPv4']));
			// for the next test: it takes a while until they are believed to be what they look like
			cluster().objects.apply(podWith('legacy', '10.9.0.7'));
			cluster().objects.apply(podWith('on-host', node().addresses.v4, { hostNetwork: true }));
			const pod = await cluster().createPod({ node: node(), name: 'steady' });
			await eventually('a route to the other node', async () =>
				expect((await node().run(['ip', 'route'])).stdout).toContain(route()),
			);
			const before = readdirSync(pins());
			for (const name of before) rmSync(join(pins(), name), { recursive: true });
			rmSync(join(node().confDir, '05-fairlead.conflist'));
			// First alone: without its device the programs are loaded and attached anew, which also puts links back.
			await eventually('links', async () => expect(readdirSync(pins())).toEqual(before), { timeoutMs: 60_000 });
			await node().run(['ip', 'route', 'del', route()]);
			await node().run(['ip', 'route', 'del', pod.address('IPv4')]);
			await node().run(['ip', 'link', 'del', 'fl_vxlan']);
			await eventually(
				'everything is there again',
				async () => {
					const now = readdirSync(pins());
					expect(now.filter((name) => name.startsWith('overlay'))).toHaveLength(2);
					expect(now.filter((name) => !name.startsWith('overlay'))).toEqual(
						before.filter((name) => !name.startsWith('overlay')),
					);
					const routes = (await node().run(['ip', 'route'])).stdout.split('\n');
					expect(routes.find((line) => line.startsWith(`${route()} via`))).toBeDefined();
					const toPod = routes.find((line) => line.startsWith(`${pod.address('IPv4')} dev fl`));
					expect(toPod).toContain(`src ${node().addresses.v4}`);
					node().cni.network();
				},
				{ timeoutMs: 60_000 },
			);
			await run(['ip', 'netns', 'exec', pod.netns, 'ping', '-c1', '-W2', node().addresses.v4]);
			await eventually('Events', async () => {
				const repaired = (await events('LinkRepaired')).map(({ message }) => message).join();
				for (const kind of ['uplink', 'loopback', 'host_device', 'cgroup', 'pod_'])
					expect(repaired).toContain(` ${kind}`);
				expect((await events('DeviceRepaired')).map(({ message }) => message).join()).toContain('device fl_vxlan');
				expect(await events('CNIConfigRestored')).toMatchObject([{ count: 1 }]);
			});
		});
	});

	it('puts back devices and routes because the kernel tells that they are gone', async () => {
		const route = '10.244.2.0/24';
		const isThere = () =>
			eventually('the route is there', async () =>
				expect((await node().run(['ip', 'route'])).stdout).toContain(`${route} via`),
			);
		const restart = async (through: readonly string[] = []) => {
			await node().stopAgent();
			node().startAgent(ROOT, through);
			await node().waitReady();
		};
		await restart(WITHOUT_LOOKS);
		// the second time it has certainly not been seen by the look that follows a start
		for (let i = 0; i < 2; i++) {
			await node().run(['ip', 'route', 'del', route]);
			await isThere();
			await node().run(['ip', 'link', 'del', 'fl_vxlan']);
			await isThere();
			await node().run(['ip', 'link', 'del', 'fl_host']);
			await eventually('the host device is there', () => node().run(['ip', 'link', 'show', 'fl_host', 'up']));
		}
		await restart();
	});

	describe('what others do on the node', () => {
		it('is told: filters on our hooks and configurations before ours', async () => {
			await node().run(['tc', 'qdisc', 'add', 'dev', 'eth0', 'clsact'], { allowFailure: true });
			const filter = ['tc', 'filter', 'add', 'dev', 'eth0', 'ingress', 'prio', '7', ...ACCEPT];
			await node().run(filter);
			writeFileSync(join(node().confDir, '00-other.conf'), '{}');
			await eventually('Events and warnings', async () => {
				expect(await events('ForeignProgram')).toMatchObject([
					{ message: expect.stringContaining('filter bpf of priority 7 at tc-ingress of uplink') as string },
				]);
				expect(await events('CNIConfigShadowed')).toHaveLength(1);
				const { warnings } = await status();
				expect(warnings.join()).toMatch(/foreign filter bpf.*after ours.*00-other.conf comes before ours/);
			});
		});

		it('is told: pods that another plugin has attached', async () => {
			await eventually(
				'it is listed',
				async () => {
					const { stdout } = await node().cli('endpoint', 'list', '-o', 'json');
					expect(stdout).toMatch(/"pod":\s*"legacy"/);
					expect(stdout).toMatch(/"state":\s*"foreign"/);
					expect(stdout).not.toContain('on-host');
					expect(await events('AttachedByOtherPlugin')).toMatchObject([
						{ involvedObject: { kind: 'Pod', name: 'legacy' }, source: { host: 'node1' } },
					]);
				},
				{ timeoutMs: 60_000 },
			);
			expect((await status()).warnings.join()).toContain('pods attached by another plugin: 1: default/legacy');
		});

		it('is forgotten when it is gone', async () => {
			await node().run(['tc', 'filter', 'del', 'dev', 'eth0', 'ingress', 'prio', '7']);
			rmSync(join(node().confDir, '00-other.conf'));
			cluster().objects.remove('Pod', 'legacy');
			await eventually('no warnings', async () => expect((await status()).warnings).toEqual([]), { timeoutMs: 60_000 });
		});
	});

	describe('CNI ADD', () => {
		/** A pod whose object the cluster may not have. */
		async function addStranger(name: string, uid: string): Promise<{ netns: string; address: string }> {
			const netns = `${cluster().name}-${name}`;
			await run(['ip', 'netns', 'add', netns]);
			netnses.push(netns);
			const args = { K8S_POD_NAMESPACE: 'default', K8S_POD_NAME: name, K8S_POD_UID: uid };
			const result = await node().cni.add({ containerId: `c-${uid}`, netnsPath: `/run/netns/${netns}`, args });
			return { netns, address: result.ips[0]?.address.split('/')[0] ?? '' };
		}
		const netnses: string[] = [];
		afterAll(async () => {
			for (const netns of netnses) await run(['ip', 'netns', 'del', netns], { allowFailure: true });
		});

		const podObject = (name: string, uid: string) => ({
			...{ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'default', uid } },
			spec: { nodeName: 'node1', containers: [{ name: 'main', image: 'local' }] },
			status: { phase: 'Pending' },
		});

		it('is told to try again for a pod that the API server does not know', async () => {
			await expect(addStranger('stranger', 'u-1')).rejects.toMatchObject({
				code: 11,
				message: expect.stringContaining('cannot attach default/stranger: the API server does not know it') as string,
			});
			cluster().objects.apply(podObject('other', 'u-new'));
			await expect(addStranger('other', 'u-old')).rejects.toMatchObject({ code: 11 });
		});

		it('is served for a pod that the watch has not brought yet', async () => {
			await cluster().api.call('watchFaults', { delayMs: { pods: 3_600_000 } });
			cluster().objects.apply(podObject('early', 'u-early'));
			await cluster().api.flush();
			await addStranger('early', 'u-early');
			await cluster().api.call('clearFaults', {});
			await cluster().api.call('cutWatches', {});
		});

		it('is served as usual for a pod that appears while it waits', async () => {
			node().configure({ podWaitMs: 3000, unknownPods: 'isolate' });
			await node().stopAgent();
			node().startAgent();
			await node().waitReady();
			const adding = addStranger('late', 'u-late');
			await sleep(500);
			cluster().objects.apply(podObject('late', 'u-late'));
			await adding;
			expect(node().agentLogTail(50)).not.toContain('unknown pod isolated');
		});

		it('isolates an unknown pod if so configured, until it is known', async () => {
			const known = await cluster().createPod({ node: node(), name: 'known' });
			const { netns, address } = await addStranger('isolated', 'u-isolated');
			const ping = async (from: string, to: string) =>
				(await run(['ip', 'netns', 'exec', from, 'ping', '-c1', '-W1', to], { allowFailure: true })).code;
			expect(await ping(node().netns, address), 'from the node').toBe(0);
			expect(await ping(known.netns, address), 'from a pod').not.toBe(0);
			expect(await ping(netns, known.address('IPv4')), 'to a pod').not.toBe(0);
			cluster().objects.apply(podObject('isolated', 'u-isolated'));
			await eventually('a pod reaches it', async () => expect(await ping(known.netns, address)).toBe(0));
		});
	});

	it('starts clean after a reboot, and is not taken for ready before', async () => {
		const pod = await cluster().createPod({ node: node(), name: 'before' });
		await node().killAgent();
		// what a reboot leaves: the disk, with another boot's words on it
		const attachments = join(node().stateDir, 'attachments');
		for (const file of readdirSync(attachments)) {
			const record = JSON.parse(readFileSync(join(attachments, file), 'utf8')) as object;
			writeFileSync(join(attachments, file), JSON.stringify({ ...record, bootId: 'former' }));
		}
		writeFileSync(join(node().stateDir, 'boot-id'), 'former\n');
		rmSync(node().bpffsDir, { recursive: true });
		mkdirSync(node().bpffsDir, { mode: 0o700 });
		await run(['ip', 'netns', 'del', pod.netns]);
		await node().run(['sh', '-c', 'ip link del fl_vxlan; ip link del fl_host']);
		await cluster().api.kill();
		node().startAgent();
		await eventually('the configuration of the former boot is set aside', () => {
			expect(readdirSync(node().confDir)).toEqual(['05-fairlead.conflist.aside']);
			expect(() => node().cni.network()).toThrow('no network configuration');
		});
		await cluster().api.start();
		await node().waitReady();
		await eventually('it is back', () => expect(readdirSync(node().confDir)).toEqual(['05-fairlead.conflist']));
		expect(JSON.parse((await node().cli('endpoint', 'list', '-o', 'json')).stdout)).toEqual({ endpoints: [] });
		expect(readdirSync(attachments).filter((file) => !file.includes('.released'))).toEqual([]);
		const again = await cluster().createPod({ node: node(), name: 'after' });
		await run(['ip', 'netns', 'exec', again.netns, 'ping', '-c1', '-W2', node().addresses.v4]);
	});
});
