/** The agent on every node. */
import type { V1Container, V1DaemonSet, V1PodSpec, V1Probe, V1SecurityContext } from '@kubernetes/client-node';
import { CGROUP_MOUNT, configChecksum } from './config-map.ts';
import { memoryLimit } from './memory.ts';
import { AGENT, CONFIG_FILE, type Installation, imageOf, labels, namespacedMeta, SELECTOR } from './names.ts';
import type { Values } from './values.ts';
import { volumeMounts, volumes } from './volumes.ts';

/**
 * All that the agent has; test/cluster/agent-rights.test.ts runs it with these and without.
 * - NET_ADMIN: devices, routes, tc, XDP, kernel settings of the network
 * - NET_RAW: the packet socket that reads answers of name servers
 * - SYS_ADMIN: BPF objects by id, and the network namespaces of pods (setns). It includes what BPF and PERFMON allow
 * - SYS_RESOURCE: kernels before 5.11 count maps as locked memory, whose limit has to be raised
 */
export const CAPABILITIES = ['NET_ADMIN', 'NET_RAW', 'SYS_ADMIN', 'SYS_RESOURCE'] as const;

const DEFAULT_HEALTHZ = '[::]:10256';

/** Five minutes until the process answers at all. Waiting for an API server is no reason to start it anew: /livez answers meanwhile. */
const STARTUP = { periodSeconds: 2, failureThreshold: 150 } as const;

function healthzOf({ config }: Values): { host: string; port: number } {
	const address = config.healthzBindAddress ?? DEFAULT_HEALTHZ;
	const at = address.lastIndexOf(':');
	return { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) };
}

/** Port of the probes. */
export function healthzPort(values: Values): number {
	return healthzOf(values).port;
}

/** The kubelet asks the pod's address, which is the node's, unless the agent listens at one address only. */
function probe(values: Values, path: string, timing: Omit<V1Probe, 'httpGet'>): V1Probe {
	const { host, port } = healthzOf(values);
	const everywhere = host === '::' || host === '0.0.0.0';
	return { httpGet: { path, port, ...(!everywhere && { host }) }, timeoutSeconds: 5, ...timing };
}

function securityContext(kubernetesMinor: number): V1SecurityContext {
	return {
		privileged: false,
		runAsUser: 0,
		runAsGroup: 0,
		readOnlyRootFilesystem: true,
		capabilities: { drop: ['ALL'], add: [...CAPABILITIES] },
		seccompProfile: { type: 'RuntimeDefault' },
		// the runtimes' profiles forbid mounts of the node and writing kernel settings
		...(kubernetesMinor >= 30 && { appArmorProfile: { type: 'Unconfined' } }),
		// where SELinux is on: a container that may use what of the node it is given
		seLinuxOptions: { level: 's0', type: 'spc_t' },
	};
}

/** Memory the maps need is part of the limit: the kernel charges them to this container. */
function resources(values: Values): NonNullable<V1Container['resources']> {
	const { requests, limits } = values.resources;
	const given = (quantities: Record<string, string>): Record<string, string> =>
		Object.fromEntries(Object.entries(quantities).filter(([, quantity]) => quantity !== ''));
	return {
		requests: given(requests),
		limits: given({ ...limits, memory: limits.memory === '' ? memoryLimit(values) : limits.memory }),
	};
}

function agentContainer(i: Installation): V1Container {
	const { values } = i;
	return {
		name: 'agent',
		image: imageOf(i),
		imagePullPolicy: values.image.pullPolicy,
		command: ['/opt/fairlead/bin/fairlead-agent'],
		args: ['--config', CONFIG_FILE],
		env: [{ name: 'FAIRLEAD_NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
		resources: resources(values),
		securityContext: securityContext(i.kubernetesMinor),
		volumeMounts: volumeMounts(i, CONFIG_FILE),
		startupProbe: probe(values, '/livez', STARTUP),
		// a restart costs no traffic, but it heals nothing that is slow: only what is stuck for long is started anew
		livenessProbe: probe(values, '/livez', { periodSeconds: 10, failureThreshold: 12 }),
		readinessProbe: probe(values, '/readyz', { periodSeconds: 5, failureThreshold: 3 }),
		terminationMessagePolicy: 'FallbackToLogsOnError',
	};
}

/** Where nothing is missing it does nothing. What it mounts reaches the node by Bidirectional, which only privileged ones may have. */
function mountContainer(i: Installation): V1Container {
	return {
		name: 'mount-filesystems',
		image: imageOf(i),
		imagePullPolicy: i.values.image.pullPolicy,
		command: ['/opt/fairlead/bin/fairlead-mount'],
		// only the socket hooks need cgroup v2
		args: ['bpf=/sys/fs/bpf', ...(i.values.config.socketLb === false ? [] : [`cgroup2=${CGROUP_MOUNT}`])],
		securityContext: { privileged: true, runAsUser: 0, readOnlyRootFilesystem: true },
		volumeMounts: [
			{ name: 'bpffs', mountPath: '/sys/fs/bpf', mountPropagation: 'Bidirectional' },
			{ name: 'cgroup2', mountPath: CGROUP_MOUNT, mountPropagation: 'Bidirectional' },
		],
	};
}

function podSpec(i: Installation): V1PodSpec {
	const { values } = i;
	const pullSecrets = values.image.pullSecrets.map((name) => ({ name }));
	return {
		hostNetwork: true,
		// cluster names cannot be resolved before this pod runs
		dnsPolicy: 'Default',
		// variables for each Service of the namespace would be taken for configuration
		enableServiceLinks: false,
		serviceAccountName: AGENT,
		automountServiceAccountToken: false,
		priorityClassName: values.priorityClassName,
		...(Object.keys(values.nodeSelector).length > 0 && { nodeSelector: values.nodeSelector }),
		...(values.tolerations.length > 0 && { tolerations: values.tolerations }),
		...(Object.keys(values.affinity).length > 0 && { affinity: values.affinity }),
		...(pullSecrets.length > 0 && { imagePullSecrets: pullSecrets }),
		terminationGracePeriodSeconds: values.terminationGracePeriodSeconds,
		...(values.mountFilesystems && { initContainers: [mountContainer(i)] }),
		containers: [agentContainer(i)],
		volumes: volumes(i),
	};
}

/** Kubernetes 1.29 knows AppArmor by annotation only; the name of the container follows. */
export const APP_ARMOR_ANNOTATION = 'container.apparmor.security.beta.kubernetes.io/';

export function daemonSet(i: Installation): V1DaemonSet {
	const { values } = i;
	return {
		apiVersion: 'apps/v1',
		kind: 'DaemonSet',
		metadata: namespacedMeta(i),
		spec: {
			selector: { matchLabels: { ...SELECTOR } },
			// Two agents on a node would fight for ports, sockets and maps: no surge. A node without an agent loses no traffic.
			updateStrategy: {
				type: 'RollingUpdate',
				rollingUpdate: { maxUnavailable: values.updateStrategy.maxUnavailable, maxSurge: 0 },
			},
			template: {
				metadata: {
					labels: { ...values.podLabels, ...labels(i.version) },
					annotations: {
						...values.podAnnotations,
						'fairlead.dev/config-checksum': configChecksum(values),
						'kubectl.kubernetes.io/default-container': 'agent',
						...(i.kubernetesMinor < 30 && { [`${APP_ARMOR_ANNOTATION}agent`]: 'unconfined' }),
					},
				},
				spec: podSpec(i),
			},
		},
	};
}
