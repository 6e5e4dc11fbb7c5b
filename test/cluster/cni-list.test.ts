/** The list that runtimes read: its versions, and plugins of others behind ours, as Istio's installer puts its own there. */
import { readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { useCluster } from '../lib/cluster/use.ts';
import { type ClusterNode, eventually } from '../lib/cluster.ts';

describe('versions of the list', () => {
	const cluster = useCluster({ nodes: 1 });
	const node = (): ClusterNode => cluster().node(1);

	it('are two where none is set: old runtimes see the older one, others take the newer one', () => {
		const text = readFileSync(join(node().confDir, '05-fairlead.conflist'), 'utf8');
		expect(JSON.parse(text)).toMatchObject({ cniVersion: '1.0.0', cniVersions: ['1.0.0', '1.1.0'] });
		expect(node().cni.network().cniVersion).toBe('1.1.0');
	});

	it('is not all that containerd needs: a missing loopback plugin is told at the start', async () => {
		const warned = () => node().agentLogTail(1000).split('no CNI plugin loopback there').length - 1;
		expect(warned()).toBe(1);
		symlinkSync('/usr/lib/cni/loopback', join(node().root, 'cni-bin/loopback'));
		await node().stopAgent();
		node().startAgent();
		await node().waitReady();
		expect(warned()).toBe(1);
	});

	it.each(['0.3.1', '0.4.0', '1.0.0', '1.1.0'])(
		'are %s alone where that is set, and pods are attached',
		async (version) => {
			await node().stopAgent();
			node().configure({ cniVersion: version });
			node().startAgent();
			await eventually('the version', () => expect(node().cni.network().cniVersion).toBe(version));
			await node().waitReady();
			expect(node().cni.network()).not.toHaveProperty('cniVersions');
			const pod = await cluster().createPod({ node: node(), name: `v${version.replaceAll('.', '-')}` });
			expect(pod.result.cniVersion).toBe(version);
			await pod.run(['ping', '-c1', '-W2', node().addresses.v4]);
			if (version !== '0.3.1') await node().cni.check(pod.cniRequest);
			await pod.detach();
		},
	);
});

/** The plugin is the reference `tuning` of Debian's package. */
describe('a plugin that follows ours', () => {
	const cluster = useCluster({ nodes: 1, config: { cniVersion: '1.0.0' } });
	const node = (): ClusterNode => cluster().node(1);
	const conflist = (): string => join(node().confDir, '05-fairlead.conflist');
	const binDir = (): string => join(node().root, 'cni-bin');
	const types = (): string[] =>
		node()
			.cni.network()
			.plugins.map(({ type }) => type);
	const BOTH = ['fairlead-cni', 'tuning'];

	/** The agent puts back its executable and then looks at the list. The second time it has done with the first list. */
	async function twoLooks(): Promise<void> {
		const executable = join(binDir(), 'fairlead-cni');
		for (let i = 0; i < 2; i++) {
			rmSync(executable);
			await eventually('the executable is back', () => void readFileSync(executable), { timeoutMs: 60_000 });
		}
	}

	beforeAll(() => {
		symlinkSync('/usr/lib/cni/tuning', join(binDir(), 'tuning'));
		const dataDir = join(node().root, 'tuning');
		const tuning = { type: 'tuning', dataDir, mtu: 1400, sysctl: { 'net.core.somaxconn': '321' } };
		const list = node().cni.network();
		writeFileSync(conflist(), JSON.stringify({ disableGC: false, ...list, plugins: [...list.plugins, tuning] }));
	});

	it('stays while the agent looks after its configuration', async () => {
		const before = readFileSync(conflist(), 'utf8');
		await twoLooks();
		expect(readFileSync(conflist(), 'utf8')).toBe(before);
	});

	it('is called by ADD, CHECK and DEL of the whole list', async () => {
		const pod = await cluster().createPod({ node: node(), name: 'tuned' });
		expect((await pod.run(['sysctl', '-n', 'net.core.somaxconn'])).stdout.trim()).toBe('321');
		expect((await pod.run(['ip', 'link', 'show', 'eth0'])).stdout).toContain('mtu 1400');
		await pod.run(['ping', '-c1', '-W2', node().addresses.v4]);
		await node().cni.check(pod.cniRequest);
		await pod.run(['ip', 'link', 'set', 'eth0', 'mtu', '1300']);
		await expect(node().cni.check(pod.cniRequest)).rejects.toThrow(/configured MTU/);
		await pod.detach();
		await eventually('no interface', () => expect(pod.run(['ip', 'link', 'show', 'eth0'])).rejects.toThrow());
	});

	it('stays when the agent is started again and writes its own entry anew', async () => {
		await node().stopAgent();
		node().configure({ addTimeoutMs: 20_000 });
		node().startAgent();
		await eventually('the new entry', () => expect(node().cni.network().plugins[0]?.addTimeoutMs).toBe(22_000));
		await node().waitReady();
		expect(types()).toEqual(BOTH);
		expect(node().cni.network()).toHaveProperty('disableGC', false);
	});

	it('comes back with the list after a reboot', async () => {
		await node().stopAgent();
		writeFileSync(join(node().stateDir, 'boot-id'), 'another');
		node().startAgent();
		await node().waitReady();
		expect(node().agentLogTail(30)).toContain('CNI configuration set aside until the self-test has passed');
		expect(types()).toEqual(BOTH);
	});

	it('is gone with what is no list any more', async () => {
		writeFileSync(conflist(), '{"plugins":');
		await eventually('a list', () => expect(types()).toEqual(['fairlead-cni']), { timeoutMs: 60_000 });
	});
});
