import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KubernetesObject, V1ConfigMap, V1DaemonSet } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type EffectiveConfig, loadConfig } from '../../agent/config/config.ts';
import type { Config } from '../../agent/config/schema.ts';
import { plannedMemory } from '../../agent/kernel/datapath.ts';
import { mapBytes } from '../../agent/kernel/map-memory.ts';
import { FairleadError } from '../../agent/model/errors.ts';
import { watchedResources } from '../../agent/sources/kubernetes/resources.ts';
import { mapSizesOf } from '../../agent/wiring/datapath-settings.ts';
import { Maps } from '../../native/abi/generated.ts';
import { schemaProblems } from '../../test/lib/kubernetes-schema.ts';
import { VALUE_CASES } from '../../test/lib/value-cases.ts';
import { CAPABILITIES } from './daemon-set.ts';
import { BASE_DIR, baseInstallation, madeFiles } from './generate.ts';
import { allMapBytes, memoryLimit } from './memory.ts';
import type { Installation } from './names.ts';
import { renderObjects } from './objects.ts';
import { clusterRole } from './rbac.ts';
import { assignmentLayer, DEFAULT_VALUES, FIXED_KEYS, resolveValues, type Values } from './values.ts';
import { nodeMounts } from './volumes.ts';

const withValues = (values: Values, minor = 33): Installation => ({
	...baseInstallation(),
	values,
	kubernetesMinor: minor,
});

function find<T extends KubernetesObject>(objects: readonly KubernetesObject[], kind: string): T {
	return objects.find((object) => object.kind === kind) as T;
}

/** The agent's own reading of the file in the ConfigMap. */
function agentReads(i: Installation): EffectiveConfig {
	const { data } = find<V1ConfigMap>(renderObjects(i), 'ConfigMap');
	const read = loadConfig({
		args: ['--config', '/x'],
		environment: { FAIRLEAD_NODE_NAME: 'n1' },
		readFile: () => data?.['agent.yaml'] ?? '',
	});
	if ('exit' in read) throw new Error(read.text);
	return read;
}

function refusal(...layers: Parameters<typeof resolveValues>[0]): string {
	try {
		resolveValues(layers);
	} catch (error) {
		if (error instanceof FairleadError && error.code === 'CONFIG_INVALID') return error.message;
		throw error;
	}
	return 'accepted';
}

describe('manifests', () => {
	it('are committed as they are made; `npm run gen` makes them', () => {
		for (const [path, text] of Object.entries(madeFiles())) {
			expect(readFileSync(join(import.meta.dirname, '..', path), 'utf8'), path).toBe(text);
		}
		const inBase = Object.keys(madeFiles()).flatMap((path) => (path.startsWith('base/') ? [path.slice(5)] : []));
		expect(readdirSync(BASE_DIR).sort()).toEqual(inBase.sort());
	});

	it('have a Kustomize base that names every object once, in order', () => {
		const { resources } = parse(readFileSync(join(BASE_DIR, 'kustomization.yaml'), 'utf8')) as { resources: string[] };
		const objects = resources.map((file) => parse(readFileSync(join(BASE_DIR, file), 'utf8')) as KubernetesObject);
		expect(objects).toEqual(JSON.parse(JSON.stringify(renderObjects(baseInstallation()))));
	});

	it.each(Object.entries(VALUE_CASES))('are valid to the Kubernetes schemas: %s', (_, { values, minor }) => {
		const i = withValues(resolveValues([{ from: 'test', value: values }]), minor);
		expect(schemaProblems(renderObjects(i))).toEqual([]);
		expect(agentReads(i).values).toMatchObject({ source: 'kubernetes', nodeName: 'n1' });
	});

	it('would be refused with a wrong type or an unknown field', () => {
		const objects = structuredClone(renderObjects(baseInstallation())) as KubernetesObject[];
		const daemonSet = find<V1DaemonSet>(objects, 'DaemonSet');
		const container = daemonSet.spec?.template.spec?.containers[0] as unknown as Record<string, unknown>;
		container.comand = ['x'];
		expect(schemaProblems(objects)).toEqual([expect.stringContaining('comand: unknown field')]);
		container.args = 'x';
		expect(schemaProblems(objects)).toEqual([expect.stringMatching(/^DaemonSet fairlead-agent: .*args/s)]);
	});
});

describe('rights of the agent', () => {
	const rules = clusterRole(baseInstallation()).rules ?? [];
	const allowed = (group: string, resource: string, verb: string): boolean =>
		rules.some(
			(rule) => rule.apiGroups?.includes(group) && rule.resources?.includes(resource) && rule.verbs.includes(verb),
		);

	it('let it read every kind it watches', () => {
		for (const { path, apiVersion } of watchedResources('n1')) {
			const group = apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
			for (const verb of ['get', 'list', 'watch'])
				expect(allowed(group, path.split('/').at(-1) ?? '', verb)).toBe(true);
		}
	});

	it('let it write its Node and Events and nothing else, and read no Secret', () => {
		const writes = rules.flatMap(({ apiGroups = [], resources = [], verbs }) =>
			verbs
				.filter((verb) => !['get', 'list', 'watch'].includes(verb))
				.flatMap((verb) => apiGroups.flatMap((group) => resources.map((each) => `${verb} ${group}/${each}`))),
		);
		expect(writes.sort()).toEqual(['create /events', 'patch /events', 'patch /nodes', 'patch /nodes/status']);
		expect(JSON.stringify(rules)).not.toMatch(/\*|secrets/);
	});
});

describe('values', () => {
	it('are refused with the name of what is wrong', () => {
		expect(refusal({ from: 'x.yaml', value: { config: { routing: 'ipip', vni: 0 }, tolerations: {} } })).toBe(
			[
				'values refused:',
				'  x.yaml: config.routing: expected "vxlan" or "direct" or "auto", got "ipip"',
				'  x.yaml: config.vni: expected at least 1, got 0',
				'  x.yaml: tolerations: expected a list, got an object',
			].join('\n'),
		);
		expect(refusal(assignmentLayer('image.tga=1'))).toContain('image: unknown key "tga"');
		expect(refusal({ from: 'x', value: { config: { healthzBindAddress: 'off' } } })).toContain(
			'config.healthzBindAddress: expected ADDRESS:PORT',
		);
		expect(refusal(assignmentLayer('config.bpffsDir=/run/bpf'))).toContain('expected a directory below /sys/fs/bpf');
		expect(() => assignmentLayer('=1')).toThrow('expected KEY.KEY=VALUE');
	});

	it.each(FIXED_KEYS)('do not take %s of the agent, which the manifests set', (key) => {
		expect(refusal({ from: 'x', value: { config: { [key]: 'x' } } })).toContain(`config: unknown key "${key}"`);
	});

	it('of later layers win; objects are merged, lists replaced, null takes a key away', () => {
		const values = resolveValues([
			{ from: 'a', value: { config: { vni: 7, routing: 'direct' }, nodeSelector: { a: 'b' } } },
			assignmentLayer('config.vni=9'),
			{ from: 'c', value: { tolerations: [], nodeSelector: { 'kubernetes.io/os': null } } },
		]);
		expect(values.config).toEqual({ vni: 9, routing: 'direct' });
		expect(values.nodeSelector).toEqual({ a: 'b' });
		expect(values.tolerations).toEqual([]);
		expect(values.image).toEqual(DEFAULT_VALUES.image);
	});
});

describe('memory limit', () => {
	const configs: Partial<Config>[] = [
		{},
		{ ctMaxEntries: 1_000_000 },
		{ northSouth: 'dsr' },
		{ maps: { services: 300_000, backends: 1_000_000, events: 4_194_304, cidrs: 100_000 } },
		{ northSouth: 'dsr', maps: { slots: 4096, frags: 16 } },
	];

	it.each(configs)('has room for all maps that the agent makes with %j', (config) => {
		const i = withValues({ ...DEFAULT_VALUES, config });
		const sizes = mapSizesOf(agentReads(i).values, ['10.0.0.0/24', 'fd00::/64']);
		const bytes = plannedMemory(sizes).reduce((sum, map) => sum + map.bytes, 0);
		const counted = allMapBytes(config);
		expect(counted).toBeGreaterThanOrEqual(bytes);
		// per-CPU maps count for more CPUs than this machine has
		expect(counted).toBeLessThan(bytes + 4 * 1024 * 1024);
		const limit = Number(memoryLimit(i.values).replace('Mi', ''));
		expect(limit).toBeGreaterThanOrEqual(512 + counted / 1024 / 1024);
		expect(limit % 64).toBe(0);
	});
});

describe('docs/install.md', () => {
	const text = readFileSync(join(import.meta.dirname, '../../docs/install.md'), 'utf8');

	it('has the limit and the costs of connections that follow from the maps', () => {
		expect(text).toContain(`${memoryLimit(DEFAULT_VALUES).replace('Mi', '')} MiB`);
		const [ipv4, ipv6] = [Maps.ct4, Maps.ct6].map((spec) => (mapBytes(spec, 1 << 18, 1) / (1 << 18)).toFixed());
		expect(text).toContain(`${ipv4} bytes IPv4, ${ipv6} IPv6`);
	});

	it('names every capability and every path of the node that the agent has', () => {
		for (const name of CAPABILITIES) expect(text).toContain(name);
		for (const { hostPath, name } of nodeMounts(baseInstallation())) {
			if (name !== 'cgroup2') expect(text, name).toContain(`\`${hostPath}\``);
		}
	});
});

describe('alerts', () => {
	it('ask for metrics that exist', () => {
		const documented = readFileSync(join(import.meta.dirname, '../../docs/metrics.md'), 'utf8');
		const values = resolveValues([{ from: 'test', value: { monitoring: { rules: true } } }]);
		const rule = find<KubernetesObject & { spec: { groups: { rules: { expr: string }[] }[] } }>(
			renderObjects(withValues(values)),
			'PrometheusRule',
		);
		const names = rule.spec.groups
			.flatMap((group) => group.rules)
			.flatMap(({ expr }) => expr.match(/\b(fairlead|kubeproxy)_\w+/g) ?? [])
			.map((name) => name.replace(/_(count|sum|bucket)$/, ''));
		expect(names.length).toBeGreaterThan(5);
		for (const name of names) expect(documented, name).toContain(`\`${name}\``);
	});
});
