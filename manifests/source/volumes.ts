/**
 * What of the node the agent's container sees. Without privileges /proc/sys and /sys are read-only in a container and some of
 * /proc is hidden; the few files that are needed are mounted one by one.
 */
import { dirname } from 'node:path';
import type { V1Volume, V1VolumeMount } from '@kubernetes/client-node';
import { CGROUP_MOUNT } from './config-map.ts';
import { AGENT, HOST, type Installation } from './names.ts';

type HostPathType = 'Directory' | 'DirectoryOrCreate' | 'File';

export interface NodeMount {
	readonly name: string;
	readonly hostPath: string;
	readonly type: HostPathType;
	/** Default: as on the node. */
	readonly mountPath?: string;
	readonly readOnly?: true;
	/** Mounts that the node makes later are seen. */
	readonly follows?: true;
}

/** Mounts that depend on the configuration are at the same path as on the node: the CNI plugin there is told of them. */
export function nodeMounts({ values: { config, cgroup2HostPath } }: Installation): readonly NodeMount[] {
	return [
		{ name: 'bpffs', hostPath: '/sys/fs/bpf', type: 'DirectoryOrCreate', follows: true },
		{ name: 'cgroup2', hostPath: cgroup2HostPath, type: 'DirectoryOrCreate', mountPath: CGROUP_MOUNT, follows: true },
		{ name: 'netns', hostPath: '/run/netns', type: 'DirectoryOrCreate', follows: true },
		{ name: 'run', hostPath: config.runDir ?? '/run/fairlead', type: 'DirectoryOrCreate' },
		{ name: 'state', hostPath: config.stateDir ?? '/var/lib/fairlead', type: 'DirectoryOrCreate' },
		{ name: 'cni-bin', hostPath: config.cniBinDir ?? '/opt/cni/bin', type: 'DirectoryOrCreate' },
		{ name: 'cni-conf', hostPath: config.cniConfDir ?? '/etc/cni/net.d', type: 'DirectoryOrCreate' },
		{ name: 'sysctl-net', hostPath: '/proc/sys/net', type: 'Directory', mountPath: `${HOST}/proc/sys/net` },
		{
			name: 'timer-list',
			hostPath: '/proc/timer_list',
			type: 'File',
			mountPath: `${HOST}/proc/timer_list`,
			readOnly: true,
		},
		{ name: 'rcu-expedited', hostPath: '/sys/kernel/rcu_expedited', type: 'File' },
	];
}

/** The service account's token and CA: what automounting gives, asked for where it is used. */
const TOKEN_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';

export function volumes(i: Installation): V1Volume[] {
	return [
		{ name: 'config', configMap: { name: AGENT } },
		{
			name: 'api-access',
			projected: {
				defaultMode: 0o400,
				sources: [
					{ serviceAccountToken: { path: 'token', expirationSeconds: 3607 } },
					{ configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
				],
			},
		},
		...nodeMounts(i).map(({ name, hostPath, type }) => ({ name, hostPath: { path: hostPath, type } })),
	];
}

export function volumeMounts(i: Installation, configFile: string): V1VolumeMount[] {
	return [
		{ name: 'config', mountPath: dirname(configFile), readOnly: true },
		{ name: 'api-access', mountPath: TOKEN_DIR, readOnly: true },
		...nodeMounts(i).map(
			({ name, hostPath, mountPath = hostPath, readOnly, follows }): V1VolumeMount => ({
				name,
				mountPath,
				...(readOnly && { readOnly }),
				...(follows && { mountPropagation: 'HostToContainer' }),
			}),
		),
	];
}
