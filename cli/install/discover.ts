/** What of a cluster the installer looks at before it changes anything. */
import type { KubernetesObject, V1DaemonSet, V1EndpointSlice } from '@kubernetes/client-node';
import type { ClusterApi } from './cluster-api.ts';

export interface ClusterFacts {
	readonly kubernetesMinor: number;
	/** Where nodes reach the API servers without any service proxy: 'https://192.0.2.1:6443'. */
	readonly apiServers: readonly string[];
	/** DaemonSets that do a part of what Fairlead does, as 'namespace/name'. */
	readonly others: readonly string[];
	readonly hasPodMonitors: boolean;
}

/** By the names that their own manifests give them. */
const OTHERS =
	/^(kube-proxy|kube-flannel(-ds)?|calico-node|cilium|kube-router|antrea-agent|weave-net|aws-node|canal|kindnet)$/;

export async function discover(api: ClusterApi): Promise<ClusterFacts> {
	const [kubernetesMinor, slices, daemonSets, crd] = await Promise.all([
		api.minorVersion(),
		api.list<V1EndpointSlice>('discovery.k8s.io/v1', 'EndpointSlice', {
			namespace: 'default',
			labelSelector: 'kubernetes.io/service-name=kubernetes',
		}),
		api.list<V1DaemonSet>('apps/v1', 'DaemonSet'),
		api.read<KubernetesObject>({
			apiVersion: 'apiextensions.k8s.io/v1',
			kind: 'CustomResourceDefinition',
			metadata: { name: 'podmonitors.monitoring.coreos.com' },
		}),
	]);
	return {
		kubernetesMinor,
		apiServers: apiServersOf(slices),
		others: daemonSets
			.filter(({ metadata }) => OTHERS.test(metadata?.name ?? ''))
			.map(({ metadata }) => `${metadata?.namespace}/${metadata?.name}`)
			.sort(),
		hasPodMonitors: crd !== undefined,
	};
}

/** Addresses behind the `kubernetes` Service. */
export function apiServersOf(slices: readonly V1EndpointSlice[]): string[] {
	const urls = slices.flatMap(({ ports, endpoints }) => {
		const port = (ports?.find(({ name }) => name === 'https') ?? ports?.[0])?.port;
		if (port === undefined) return [];
		const ready = (endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false);
		return ready.flatMap(({ addresses }) =>
			addresses.map((address) => `https://${address.includes(':') ? `[${address}]` : address}:${port}`),
		);
	});
	return [...new Set(urls)].sort();
}
