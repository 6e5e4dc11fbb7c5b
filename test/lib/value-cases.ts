/** Values of installations that tests render, each with the minor version of Kubernetes. */
import { CONFIG_KEYS } from '../../agent/config/schema.ts';

export interface ValueCase {
	readonly values: Record<string, unknown>;
	readonly minor: number;
}

export const VALUE_CASES: Readonly<Record<string, ValueCase>> = {
	defaults: { values: {}, minor: 33 },
	'Kubernetes 1.29': { values: {}, minor: 29 },
	'an own registry': {
		values: { image: { repository: 'registry.example:5000/net/fairlead', tag: '0.2.0-rc.1', pullSecrets: ['a', 'b'] } },
		minor: 30,
	},
	'an image by digest': { values: { image: { tag: 'x', digest: `sha256:${'a'.repeat(64)}` } }, minor: 34 },
	'many settings of the agent': {
		values: {
			config: {
				k8sApiServer: ['https://192.0.2.1:6443', 'https://[2001:db8::1]:6443'],
				routing: 'auto',
				mtu: 1400,
				serviceCidrs: ['10.96.0.0/12', 'fd00:96::/108'],
				nodePortAddresses: ['192.0.2.0/24'],
				snatPorts: { min: 20000, max: 29999 },
				ctTimeouts: { tcpEstablished: 3600 },
				serviceProxyName: '',
				socketLb: false,
				logLevel: 'debug',
			},
		},
		minor: 33,
	},
	'large maps': {
		values: {
			agentMemoryMi: 700,
			config: {
				ctMaxEntries: 3_000_000,
				northSouth: 'dsr',
				maps: { services: 100_000, backends: 1_000_001, slots: 2_000_000, events: 8_388_608, sock_rev: 65_537 },
			},
		},
		minor: 33,
	},
	'a size for every map that takes one': {
		values: {
			config: {
				maps: Object.fromEntries(
					Object.keys(CONFIG_KEYS.maps.schema.shape).map((map, at) => [
						map,
						map === 'events' ? 2_097_152 : 300_000 + at * 7919,
					]),
				),
			},
		},
		minor: 33,
	},
	'small maps': {
		values: { config: { ctMaxEntries: 4096, northSouth: 'dsr', maps: { conns: 100, frags: 17 } } },
		minor: 33,
	},
	'other paths and ports': {
		values: {
			cgroup2HostPath: '/sys/fs/cgroup/unified',
			mountFilesystems: false,
			config: {
				runDir: '/var/run/fl',
				stateDir: '/data/fairlead',
				cniBinDir: '/usr/libexec/cni',
				cniConfDir: '/var/lib/cni/net.d',
				healthzBindAddress: '127.0.0.1:11256',
			},
		},
		minor: 33,
	},
	'an IPv6 address for probes': { values: { config: { healthzBindAddress: '[2001:db8::5]:10256' } }, minor: 33 },
	'all addresses of IPv4 for probes': { values: { config: { healthzBindAddress: '0.0.0.0:10300' } }, minor: 33 },
	'choices of the pod': {
		values: {
			namespace: { create: false },
			resources: { requests: { cpu: '', memory: '1Gi' }, limits: { cpu: '2', memory: '2Gi' } },
			nodeSelector: { 'kubernetes.io/os': null, pool: 'edge' },
			tolerations: [{ key: 'edge', operator: 'Equal', value: 'true', effect: 'NoSchedule' }],
			affinity: {
				nodeAffinity: {
					requiredDuringSchedulingIgnoredDuringExecution: {
						nodeSelectorTerms: [{ matchExpressions: [{ key: 'arch', operator: 'In', values: ['amd64'] }] }],
					},
				},
			},
			podAnnotations: { note: 'true', 'fairlead.dev/config-checksum': 'theirs' },
			podLabels: { team: 'net', 'app.kubernetes.io/name': 'theirs' },
			updateStrategy: { maxUnavailable: 3 },
			terminationGracePeriodSeconds: 10,
			priorityClassName: 'important',
		},
		minor: 29,
	},
	'no tolerations, no selector': { values: { tolerations: [], nodeSelector: { 'kubernetes.io/os': null } }, minor: 33 },
	'its own Node only': { values: { restrictToOwnNode: true }, minor: 30 },
	'its own Node only, where that cannot be said': { values: { restrictToOwnNode: true }, minor: 29 },
	monitoring: {
		values: { monitoring: { podMonitor: true, rules: true, labels: { release: 'prometheus' }, interval: '1m' } },
		minor: 33,
	},
	'monitoring at an own address': {
		values: { monitoring: { podMonitor: true, rules: true }, config: { metricsBindAddress: '[::]:9999' } },
		minor: 33,
	},
};
