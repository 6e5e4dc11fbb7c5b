import { describe, expect, it } from 'vitest';
import { podOf } from '../../test/lib/policy-world.ts';
import { type Pod, parsePod, parsePodBySchema } from '../model/pod.ts';
import { type AttachedPod, PolicyPods } from './policy-pods.ts';

const attachment = (name: string, addresses: string[], uid = 'u1', index = 1): AttachedPod => {
	return { pod: { namespace: 'x', name, uid }, addresses, index, gen: 1 };
};

function setup(...pods: Pod[]): PolicyPods {
	const view = new Map(pods.map((pod) => [`${pod.namespace}/${pod.name}`, pod]));
	return new PolicyPods({ pods: view, nodeName: 'node-1' });
}

describe('PolicyPods', () => {
	it('give a pod the addresses of its attachments before the API tells any', () => {
		const pods = setup(podOf('x', 'a', [], { uid: 'u1' }));
		expect(pods.follow([attachment('a', ['10.244.1.5'])])).toEqual({
			pods: new Set(['x/a']),
			addresses: ['10.244.1.5'],
		});
		expect(pods.get('x/a')?.addresses).toEqual(['10.244.1.5']);
		expect(pods.follow([])).toEqual({ pods: new Set(['x/a']), addresses: [] });
		expect(pods.get('x/a')?.addresses).toEqual([]);
	});

	it('believe what is attached, not what the API still tells of an address', () => {
		const pods = setup(podOf('x', 'old', ['10.244.1.5']), podOf('y', 'far', ['10.244.1.5'], { node: 'node-2' }));
		pods.follow([attachment('new', ['10.244.1.5'])]);
		expect(pods.get('x/old')?.addresses).toEqual([]);
		expect(pods.get('y/far')?.addresses).toEqual([]);
		expect(pods.get('x/new')).toBeNull();
	});

	it('do not take the attachment of a pod for that of a younger one with its name', () => {
		const pods = setup(podOf('x', 'db-0', [], { uid: 'u2' }));
		pods.follow([attachment('db-0', ['10.244.1.5'], 'u1')]);
		expect(pods.attachmentsOf('x/db-0')).toEqual([]);
		pods.follow([attachment('db-0', ['10.244.1.5'], 'u1'), attachment('db-0', ['10.244.1.6'], 'u2', 2)]);
		expect(pods.get('x/db-0')?.addresses).toEqual(['10.244.1.6']);
		expect(pods.attachmentsOf('x/db-0').map(({ index }) => index)).toEqual([2]);
	});

	it('know a pod from a file, whose object is a mirror with another uid', () => {
		const metadata = { namespace: 'kube-system', name: 'proxy-node-1', uid: 'of-the-mirror' };
		const annotations = { 'kubernetes.io/config.mirror': 'of-the-kubelet' };
		const mirror = { metadata: { ...metadata, annotations }, spec: { nodeName: 'node-1' } };
		for (const parse of [parsePod, parsePodBySchema]) {
			const parsed = parse(mirror);
			if (!parsed.ok) throw new Error('the mirror cannot be read');
			const pods = setup(parsed.value);
			const pod = { namespace: 'kube-system', name: 'proxy-node-1', uid: 'of-the-kubelet' };
			pods.follow([{ pod, addresses: ['10.244.1.5'], index: 1, gen: 1 }]);
			expect(pods.get('kube-system/proxy-node-1')?.addresses).toEqual(['10.244.1.5']);
			expect(pods.attachmentsOf('kube-system/proxy-node-1')).toHaveLength(1);
			pods.follow([{ pod: { ...pod, uid: 'of-the-mirror' }, addresses: ['10.244.1.5'], index: 1, gen: 1 }]);
			expect(pods.attachmentsOf('kube-system/proxy-node-1')).toEqual([]);
		}
	});

	it('know all interfaces of a pod, and nothing of pods of other nodes', () => {
		const pods = setup(podOf('x', 'a', []), podOf('x', 'b', ['10.244.2.1'], { node: 'node-2' }));
		pods.follow([
			attachment('a', ['10.244.1.5']),
			attachment('a', ['10.245.1.5'], 'u1', 2),
			attachment('b', [], '', 3),
		]);
		expect(pods.get('x/a')?.addresses).toEqual(['10.244.1.5', '10.245.1.5']);
		expect(pods.attachmentsOf('x/b')).toEqual([]);
		expect(pods.get('x/b')?.addresses).toEqual(['10.244.2.1']);
	});
});
