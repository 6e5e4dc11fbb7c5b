import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KubernetesObject, V1ConfigMap } from '@kubernetes/client-node';
import { Ajv } from 'ajv';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { BASE_KUBERNETES_MINOR, baseInstallation, CHART_DIR, packageVersion } from '../../manifests/source/generate.ts';
import { renderObjects } from '../../manifests/source/objects.ts';
import { DEFAULT_VALUES, resolveValues } from '../../manifests/source/values.ts';
import { VALUE_CASES } from '../lib/value-cases.ts';
import { buildRenderer, renderChart } from './chart.ts';

beforeAll(() => void buildRenderer(), 180_000);

const NAMESPACE = 'net';

/** Objects by kind and name; the agent's file as what it says, since two libraries write YAML differently. */
function byName(objects: readonly KubernetesObject[]): Record<string, unknown> {
	const plain = JSON.parse(JSON.stringify(objects)) as KubernetesObject[];
	return Object.fromEntries(
		plain.map((object) => {
			const { data } = object as V1ConfigMap;
			const read = data === undefined ? object : { ...object, data: { 'agent.yaml': parse(data['agent.yaml'] ?? '') } };
			return [`${object.kind} ${object.metadata?.name}`, read];
		}),
	);
}

const chartValues = (): unknown => parse(readFileSync(join(CHART_DIR, 'values.yaml'), 'utf8'));

describe('Helm chart', () => {
	it.each(Object.entries(VALUE_CASES))('renders what `fairlead install` applies: %s', (_, { values, minor }) => {
		const helmDefault = { namespace: { create: false } };
		const resolved = resolveValues([
			{ from: 'chart', value: helmDefault },
			{ from: 'test', value: values },
		]);
		const wanted = renderObjects({
			values: resolved,
			namespace: NAMESPACE,
			version: packageVersion(),
			kubernetesMinor: minor,
		});
		const [result] = renderChart([{ values, namespace: NAMESPACE, kubeVersion: `v1.${minor}.2` }]);
		expect(result?.error).toBeUndefined();
		expect(byName(result?.objects ?? [])).toEqual(byName(wanted));
	});

	it('renders the Kustomize base when it makes the namespace', () => {
		const { namespace } = baseInstallation();
		const kubeVersion = `v1.${BASE_KUBERNETES_MINOR}.0`;
		const [result] = renderChart([{ values: { namespace: { create: true } }, namespace, kubeVersion }]);
		expect(byName(result?.objects ?? [])).toEqual(byName(renderObjects(baseInstallation())));
	});

	it('has the defaults of the installer, but leaves the namespace to the caller', () => {
		expect(chartValues()).toEqual({ ...DEFAULT_VALUES, namespace: { create: false } });
	});

	it('refuses wrong values by its schema, naming them', () => {
		const schema = JSON.parse(readFileSync(join(CHART_DIR, 'values.schema.json'), 'utf8')) as object;
		const validate = new Ajv({ strict: false, allErrors: true }).compile(schema);
		const problems = (over: Record<string, unknown>): string[] => {
			validate({ ...(chartValues() as object), ...over });
			return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
		};
		expect(problems({})).toEqual([]);
		for (const { values } of Object.values(VALUE_CASES)) {
			const { resources: _, nodeSelector: __, ...flat } = values as Record<string, unknown>;
			const whole = resolveValues([{ from: 'test', value: flat }]);
			expect(problems({ ...whole })).toEqual([]);
		}
		expect(problems({ config: { routing: 'ipip' } })).toEqual([
			expect.stringMatching(/^\/config\/routing must be equal/),
		]);
		expect(problems({ config: { ctMaxEntries: 'many' } })).toContainEqual('/config/ctMaxEntries must be integer');
		expect(problems({ config: { nodeName: 'x' } })).toEqual(['/config must NOT have additional properties']);
		expect(problems({ agentMemoryMi: 1 })).toEqual(['/agentMemoryMi must be >= 256']);
		expect(problems({ replicas: 2 })).toEqual([' must NOT have additional properties']);
		// read by Go's regular expressions, which have no look-around and no back references
		expect(JSON.stringify(schema)).not.toMatch(/\(\?[=!<]|\\\\[1-9]/);
	});
});
