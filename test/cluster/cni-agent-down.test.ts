import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CniRequest } from '../lib/cluster/cni.ts';
import { run } from '../lib/cluster/exec.ts';
import { useCluster } from '../lib/cluster/use.ts';
import { type ClusterNode, CniError, eventually } from '../lib/cluster.ts';

describe('the CNI plugin while the agent is down', () => {
	const cluster = useCluster({ nodes: 1 });
	const node = (): ClusterNode => cluster().node(1);

	/** Host sides of pod interfaces: every veth of the node that is neither the uplink nor Fairlead's own. */
	async function podLinks(): Promise<string[]> {
		const { stdout } = await node().run(['ip', '-j', 'link', 'show', 'type', 'veth']);
		const links = JSON.parse(stdout) as { ifname: string }[];
		return links.map((link) => link.ifname).filter((name) => name !== 'eth0' && !name.startsWith('fl_'));
	}

	async function endpointNames(): Promise<string[]> {
		const { stdout } = await node().cli('endpoint', 'list', '-o', 'json');
		return [...stdout.matchAll(/"pod":\s*"([^"]+)"/g)].map((match) => match[1] ?? '');
	}

	it('fails ADD with code 11 and STATUS with code 50, and makes no interface', async () => {
		const before = await podLinks();
		await node().killAgent();
		const netns = `${cluster().name}-pod-orphan`;
		await run(['ip', 'netns', 'add', netns]);
		const request: CniRequest = { containerId: 'orphan', netnsPath: `/run/netns/${netns}` };
		await expect(node().cni.add(request)).rejects.toMatchObject({ code: 11 });
		await expect(node().cni.status()).rejects.toMatchObject({ code: 50 });
		expect(await podLinks()).toEqual(before);
		node().startAgent();
		await node().waitReady();
		await expect(node().cni.add(request)).resolves.toHaveProperty('ips');
		await node().cni.del(request);
		// DEL is answered before the interface is removed, and the next test counts interfaces.
		await eventually('its interface is gone', async () => expect(await podLinks()).toEqual(before));
	});

	it('puts DEL aside, succeeds, and the agent carries it out when it is back', async () => {
		const pod = await cluster().createPod({ node: node(), name: 'short-lived' });
		expect(await endpointNames()).toContain('short-lived');
		const before = await podLinks();
		await node().killAgent();
		await pod.detach();
		const spool = join(node().stateDir, 'cni-spool');
		expect(readdirSync(spool).length).toBeGreaterThan(0);
		expect(await podLinks()).toEqual(before);
		node().startAgent();
		await node().waitReady();
		await eventually('the spooled DEL is carried out', async () => {
			expect(await endpointNames()).not.toContain('short-lived');
			expect((await podLinks()).length).toBe(before.length - 1);
			expect(existsSync(spool) ? readdirSync(spool).filter((f) => !f.startsWith('.')) : []).toEqual([]);
		});
	});

	it('answers DEL of what was never there with success', async () => {
		await node().cni.del({ containerId: 'never-there', netnsPath: '' });
	});

	it('removes at GC what the runtime does not know any more, and nothing else', async () => {
		const kept = await cluster().createPod({ node: node(), name: 'kept' });
		await cluster().createPod({ node: node(), name: 'forgotten' });
		await node().cni.gc([kept.cniRequest.containerId]);
		await eventually('the forgotten pod is gone', async () => {
			expect(await endpointNames()).toEqual(['kept']);
		});
		await kept.node.cni.check(kept.cniRequest);
	});

	it('fails CHECK while a program of the pod is detached, until the agent has attached it again', async () => {
		const links = join(node().bpffsDir, 'links');
		const before = new Set(readdirSync(links));
		const pod = await cluster().createPod({ node: node(), name: 'checked' });
		const [pin = ''] = readdirSync(links).filter((name) => /^pod_.*_in$/.test(name) && !before.has(name));
		const why = /of default\/checked has changed: program from_pod is not attached to fl\w+/;
		await eventually('CHECK names the program', async () => {
			await run(['bpftool', 'link', 'detach', 'pinned', join(links, pin)]);
			await expect(node().cni.check(pod.cniRequest)).rejects.toThrow(why);
		});
		await eventually('CHECK succeeds', () => node().cni.check(pod.cniRequest), { timeoutMs: 30_000 });
	});

	it('fails ADD of an interface that exists already and leaves it as it is', async () => {
		const pod = await cluster().createPod({ node: node(), name: 'twice' });
		const error: unknown = await node()
			.cni.add({ ...pod.cniRequest, containerId: 'another' })
			.catch((e: unknown) => e);
		expect(error).toBeInstanceOf(CniError);
		await pod.run(['ip', 'link', 'show', 'eth0']);
		await node().cni.check(pod.cniRequest);
	});
});
