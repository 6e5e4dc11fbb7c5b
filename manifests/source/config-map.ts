/** The agent's configuration file. */
import { createHash } from 'node:crypto';
import type { V1ConfigMap } from '@kubernetes/client-node';
import { stringify } from 'yaml';
import { HOST, type Installation, namespacedMeta } from './names.ts';
import type { Values } from './values.ts';

/** Where the container has the node's cgroup v2: its own /sys/fs/cgroup shows only its own. */
export const CGROUP_MOUNT = `${HOST}/sys/fs/cgroup`;
/** Scraped from outside the node. */
const OPEN_METRICS = '[::]:10249';

/** Everything that is in the file. */
export function agentConfig({ config, monitoring }: Values): Record<string, unknown> {
	return {
		...(monitoring.podMonitor && { metricsBindAddress: OPEN_METRICS }),
		...config,
		source: 'kubernetes',
		cgroupRoot: CGROUP_MOUNT,
	};
}

export function configMap(i: Installation): V1ConfigMap {
	return {
		apiVersion: 'v1',
		kind: 'ConfigMap',
		metadata: namespacedMeta(i),
		data: { 'agent.yaml': stringify(agentConfig(i.values), { sortMapEntries: true }) },
	};
}

/** Changes when the file does, so that agents start anew with it. */
export function configChecksum(values: Values): string {
	return createHash('sha256')
		.update(sortedJson(agentConfig(values)))
		.digest('hex');
}

/** As Go's encoding/json writes it: keys in order, <, > and & escaped. */
function sortedJson(value: unknown): string {
	const sorted = (each: unknown): unknown => {
		if (Array.isArray(each)) return each.map(sorted);
		if (typeof each !== 'object' || each === null) return each;
		return Object.fromEntries(
			Object.entries(each)
				.sort(([a], [b]) => (a < b ? -1 : 1))
				.map(([key, inner]) => [key, sorted(inner)]),
		);
	};
	const escaped = (c: string): string => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`;
	return JSON.stringify(sorted(value)).replace(/[<>&\u2028\u2029]/g, escaped);
}
