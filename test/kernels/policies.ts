/** NetworkPolicies on this kernel: who may not gets no answer, be it directly, by a Service or by a NodePort. */
import { eventually, type Family, type KubeObject, type Pod, type ServiceSpec } from '../lib/cluster.ts';
import { ask, expectAnswers, formatAnswers, type Protocol, serversOf } from './ask.ts';
import { tell } from './report.ts';
import { FAMILIES, OUTSIDE, PORTS, type Scene, SERVICE } from './scene.ts';

/** How long those wait whom a policy keeps out. */
const DENIED_MS = 1500;
const DENIED = ['error ETIMEDOUT'];

/** A Service of the pod that a policy guards. */
const GUARDED_VIP: Record<Family, string> = { IPv4: '10.96.0.11', IPv6: 'fd00:96::11' };
const GUARDED: ServiceSpec = {
	...SERVICE,
	name: 'guarded',
	clusterIPs: [GUARDED_VIP.IPv4, GUARDED_VIP.IPv6],
	ports: SERVICE.ports.map((each) => ({ ...each, nodePort: (each.nodePort ?? 0) + 1 })),
};

const pods = (app: string) => ({ podSelector: { matchLabels: { app } } });
const policy = (name: string, spec: Record<string, unknown>): KubeObject => ({
	apiVersion: 'networking.k8s.io/v1',
	kind: 'NetworkPolicy',
	metadata: { name, namespace: 'default' },
	spec,
});
/** `near` takes only `client`, and `client` speaks only to `near`. */
const POLICIES: readonly KubeObject[] = [
	policy('into-near', { ...pods('near'), policyTypes: ['Ingress'], ingress: [{ from: [pods('client')] }] }),
	policy('out-of-client', { ...pods('client'), policyTypes: ['Egress'], egress: [{ to: [pods('near')] }] }),
];

export async function tryPolicies(scene: Scene): Promise<void> {
	const { cluster, near } = scene;
	cluster.publish(GUARDED, [near]);
	for (const each of POLICIES) cluster.objects.apply(each);
	await bothAnswer(scene, 'the policies are in force', () => DENIED.join());
	for (const family of FAMILIES) for (const protocol of scene.protocols) await tryOne(scene, family, protocol);
	for (const { kind, metadata } of POLICIES) cluster.objects.remove(kind, metadata.name, metadata.namespace);
	await bothAnswer(scene, 'the policies are gone', (to) => to.name);
	tell('pass', 'policies that are removed are not in force any more');
}

/** Waits until this is what comes of asking `near` from `far`, which ingress denies, and `far` from `client`, which egress denies. */
async function bothAnswer(scene: Scene, what: string, wanted: (to: Pod) => string): Promise<void> {
	const { client, near, far } = scene;
	await eventually(what, async () => {
		for (const [from, to] of [
			[far, near],
			[client, far],
		] as const) {
			const host = to.address('IPv4');
			const answers = await ask({ from, host, protocol: 'udp', count: 1, limitMs: DENIED_MS });
			if (serversOf(answers) !== wanted(to)) throw new Error(formatAnswers(answers));
		}
	});
}

async function tryOne({ cluster, client, near, far }: Scene, family: Family, protocol: Protocol): Promise<void> {
	const title = `${family}, ${protocol.toUpperCase()}: policy`;
	const once = { protocol, count: 1, limitMs: DENIED_MS };
	const [toNear, toFar] = [near, far].map((pod) => ({ host: pod.address(family) })) as [Host, Host];
	const service = { host: GUARDED_VIP[family], port: PORTS[protocol].port };
	const nodePort = {
		host: cluster.node(2).addresses[family === 'IPv4' ? 'v4' : 'v6'],
		port: PORTS[protocol].nodePort + 1,
	};
	const own = client.address(family);
	await expectAnswers(`${title} lets a pod in by its labels`, { from: client, protocol, ...toNear }, [`near ${own}`]);
	await expectAnswers(`${title} lets a pod in by a Service`, { from: client, protocol, ...service }, ['near']);
	for (const [what, question] of [
		["keeps another node's pod out", { from: far, ...toNear }],
		["keeps another node's pod out of a Service", { from: far, ...service }],
		['keeps the outside out of a NodePort', { from: cluster.client, ...nodePort }],
		['keeps a pod in', { from: client, ...toFar }],
		['keeps a pod from the outside', { from: client, host: OUTSIDE[family] }],
	] as const)
		await expectAnswers(`${title} ${what}`, { ...once, ...question }, DENIED);
}

interface Host {
	readonly host: string;
}
