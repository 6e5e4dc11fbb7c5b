/**
 * The agent's pod as the DaemonSet describes it, for a container runtime: what the kubelet would make of volumes, environment and
 * security context. The node's directories are those of a node of a test cluster.
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { V1Container, V1PodSpec } from '@kubernetes/client-node';
import { configMap } from '../../manifests/source/config-map.ts';
import { daemonSet } from '../../manifests/source/daemon-set.ts';
import type { Installation } from '../../manifests/source/names.ts';
import { resolveValues } from '../../manifests/source/values.ts';
import type { ClusterNode } from './cluster/node.ts';
import { SERVICE_CIDRS } from './cluster/topology.ts';
import type { Cluster } from './cluster.ts';
import type { ContainerMount, ContainerOptions } from './containerd.ts';

/** Values that tell the agent where the node's directories are. */
function installationOn(cluster: Cluster, node: ClusterNode, version: string): Installation {
	const config = {
		serviceCidrs: [...SERVICE_CIDRS],
		k8sApiServer: [cluster.api.url],
		bpffsDir: node.bpffsDir,
		runDir: node.runDir,
		stateDir: node.stateDir,
		cniBinDir: join(node.root, 'cni-bin'),
		cniConfDir: node.confDir,
	};
	const value = { config, cgroup2HostPath: node.nodeCgroup };
	return {
		values: resolveValues([{ from: 'test', value }]),
		namespace: 'fairlead-system',
		version,
		kubernetesMinor: 34,
	};
}

/** Writes what the API server would give to the pod by volumes that are not on the node. @returns volume → directory */
function writeVolumes(i: Installation, cluster: Cluster, directory: string): Record<string, string> {
	const config = join(directory, 'config');
	const access = join(directory, 'api-access');
	for (const path of [config, access]) mkdirSync(path, { recursive: true });
	for (const [name, text] of Object.entries(configMap(i).data ?? {})) writeFileSync(join(config, name), text);
	copyFileSync(cluster.api.tokenFile, join(access, 'token'));
	copyFileSync(join(cluster.api.dir, 'ca.crt'), join(access, 'ca.crt'));
	return { config, 'api-access': access };
}

function mountsOf(pod: V1PodSpec, container: V1Container, written: Record<string, string>): ContainerMount[] {
	return (container.volumeMounts ?? []).map((mount) => {
		const volume = pod.volumes?.find(({ name }) => name === mount.name);
		const source = volume?.hostPath?.path ?? written[mount.name];
		if (source === undefined) throw new Error(`the pod has no volume ${mount.name} that this can make`);
		return {
			source,
			destination: mount.mountPath,
			readOnly: mount.readOnly ?? false,
			follows: mount.mountPropagation === 'HostToContainer',
			shared: mount.mountPropagation === 'Bidirectional',
		};
	});
}

function environmentOf(container: V1Container, node: ClusterNode): Record<string, string> {
	const fields: Record<string, string> = { 'spec.nodeName': node.name };
	return Object.fromEntries(
		(container.env ?? []).map(({ name, value, valueFrom }) => {
			const text = value ?? fields[valueFrom?.fieldRef?.fieldPath ?? ''];
			if (text === undefined) throw new Error(`${name}: this cannot tell its value`);
			return [name, text];
		}),
	);
}

/** Number of CAP_SYS_RESOURCE. */
const SYS_RESOURCE = 24n;

/** Root of a machine that is itself a container may lack the one that only kernels before 5.11 need; it cannot be given on. */
function grantable(capabilities: readonly string[]): string[] {
	const own = /^CapPrm:\s(\w+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
	const has = (BigInt(`0x${own}`) & (1n << SYS_RESOURCE)) !== 0n;
	return capabilities.filter((name) => name !== 'SYS_RESOURCE' || has);
}

/**
 * The agent's container and, in `before`, those that run to their end before it.
 * @param directory  for the volumes that are not directories of the node
 */
export function agentContainerOf(cluster: Cluster, node: ClusterNode, o: { version: string; directory: string }) {
	const installation = installationOn(cluster, node, o.version);
	const pod = daemonSet(installation).spec?.template.spec;
	const container = pod?.containers[0];
	if (pod === undefined || container === undefined) throw new Error('the DaemonSet has no container');
	const { securityContext: security } = container;
	if (security?.privileged || security?.capabilities?.drop?.[0] !== 'ALL' || !pod.hostNetwork) {
		throw new Error('the DaemonSet asks for a container that this does not make');
	}
	const options: Omit<ContainerOptions, 'id'> = {
		command: [...(container.command ?? []), ...(container.args ?? [])],
		capabilities: grantable(security.capabilities.add ?? []),
		mounts: mountsOf(pod, container, writeVolumes(installation, cluster, o.directory)),
		env: environmentOf(container, node),
		readOnlyRoot: security.readOnlyRootFilesystem ?? false,
		seccomp: security.seccompProfile?.type === 'RuntimeDefault',
		netns: node.netnsPath,
		logFile: node.agentLog,
	};
	const before = (pod.initContainers ?? []).map((each) => ({
		command: [...(each.command ?? []), ...(each.args ?? [])],
		mounts: mountsOf(pod, each, {}),
		readOnlyRoot: each.securityContext?.readOnlyRootFilesystem ?? false,
	}));
	return { image: container.image ?? '', options, before };
}
