/**
 * The parts of the Helm chart that follow from the values' schema and from objects that depend on little: made here and committed.
 * Templates of the other objects (manifests/helm/fairlead/templates) are written by hand; a test renders both and compares.
 */
import type { KubernetesObject } from '@kubernetes/client-node';
import { Document, type Pair, type Scalar, stringify, visit } from 'yaml';
import * as z from 'zod';
import { CONFIG_KEYS } from '../../agent/config/schema.ts';
import { mapBytes } from '../../agent/kernel/map-memory.ts';
import type { MapSpec } from '../../native/abi/codec.ts';
import { type MapName, Maps } from '../../native/abi/generated.ts';
import { CAPABILITIES } from './daemon-set.ts';
import { ASSUMED_CPUS, DSR_ENTRIES, STEP_MI } from './memory.ts';
import { prometheusRule } from './monitoring.ts';
import type { Installation } from './names.ts';
import { ownNodePolicy, ownNodePolicyBinding } from './own-node.ts';
import { clusterRole, clusterRoleBinding, serviceAccount } from './rbac.ts';
import { DEFAULT_VALUES, valuesSchema } from './values.ts';
import { nodeMounts } from './volumes.ts';
import { formatObjects } from './yaml.ts';

type JsonSchema = z.core.JSONSchema.JSONSchema;

const MADE = 'Made by manifests/source/generate.ts: change that instead.';
/** Replaced by what Helm knows. */
const NAMESPACE = 'release-namespace';
const VERSION = 'app-version';

/** Helm checks values against this before it renders; draft 7 is what it reads. */
export function valuesJsonSchema(): JsonSchema {
	const schema = z.toJSONSchema(valuesSchema, { target: 'draft-7', io: 'input' });
	return { ...schema, description: `Values of the Fairlead chart. ${MADE}` };
}

export function chartYaml(version: string): string {
	return `# ${MADE}\n${stringify({
		apiVersion: 'v2',
		name: 'fairlead',
		description: 'eBPF network dataplane: CNI plugin, kube-proxy replacement, NetworkPolicy and flow observability',
		type: 'application',
		version,
		appVersion: version,
		kubeVersion: '>=1.29.0-0',
	})}`;
}

/** The defaults, each with what the schema says of it. With Helm the namespace is the caller's business. */
export function valuesYaml(): string {
	const document = new Document({ ...DEFAULT_VALUES, namespace: { create: false } });
	document.commentBefore = ` ${MADE}\n Values of the Fairlead chart; \`fairlead install --values\` takes the same.`;
	const schema = valuesJsonSchema();
	visit(document, {
		Pair(_, pair, path) {
			const keys = [...path, pair].flatMap((node) => ('key' in node ? [String((node as Pair<Scalar>).key)] : []));
			const described = descriptionOf(schema, keys);
			if (described === undefined) return;
			const key = pair.key as Scalar;
			key.commentBefore = ` ${described}`;
			key.spaceBefore = keys.length === 1;
		},
	});
	return document.toString({ lineWidth: 0 });
}

function descriptionOf(schema: JsonSchema, keys: readonly string[]): string | undefined {
	let found: JsonSchema | undefined = schema;
	for (const key of keys) {
		const inner: JsonSchema | boolean | undefined = found?.properties?.[key];
		found = typeof inner === 'object' ? inner : undefined;
	}
	return found?.description;
}

/** Objects of which only namespace, version and a few labels vary. */
function template(condition: string, objects: readonly KubernetesObject[]): string {
	const text = formatObjects(objects)
		.replaceAll('{{', '{{"{{"}}')
		.replaceAll(NAMESPACE, '{{ .Release.Namespace }}')
		.replaceAll(VERSION, '{{ .Chart.AppVersion }}');
	const body = condition === '' ? text : `{{- if ${condition} }}\n${text}{{- end }}\n`;
	return `{{- /* ${MADE} */ -}}\n${body}`;
}

/** Files below templates/ by name. */
export function madeTemplates(): Readonly<Record<string, string>> {
	const i: Installation = { values: DEFAULT_VALUES, namespace: NAMESPACE, version: VERSION, kubernetesMinor: 30 };
	return {
		'rbac.yaml': template('', [serviceAccount(i), clusterRole(i), clusterRoleBinding(i)]),
		'own-node.yaml': template(
			'and .Values.restrictToOwnNode (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version)',
			[ownNodePolicy(i), ownNodePolicyBinding(i)],
		),
		'prometheus-rule.yaml': template('.Values.monitoring.rules', [prometheusRule(i)]).replace(
			'  labels:\n',
			'  labels:\n    {{- with .Values.monitoring.labels }}\n    {{- toYaml . | nindent 4 }}\n    {{- end }}\n',
		),
		'_memory.tpl': memoryTemplate(),
		'_node.tpl': nodeTemplate(),
	};
}

/** Node paths that the configuration may move, with the value that moves them. */
const MOVED_PATHS: Readonly<Record<string, string>> = {
	cgroup2: '.Values.cgroup2HostPath',
	run: '.Values.config.runDir',
	state: '.Values.config.stateDir',
	'cni-bin': '.Values.config.cniBinDir',
	'cni-conf': '.Values.config.cniConfDir',
};

/** Capabilities and mounts of the agent's container. */
function nodeTemplate(): string {
	const i: Installation = { values: DEFAULT_VALUES, namespace: NAMESPACE, version: VERSION, kubernetesMinor: 30 };
	const mounts = nodeMounts(i).map((mount) => {
		const moved = MOVED_PATHS[mount.name];
		return moved === undefined ? mount : { ...mount, hostPath: `{{ default "${mount.hostPath}" ${moved} }}` };
	});
	return `{{- /* ${MADE} */ -}}
{{- define "fairlead.capabilities" -}}
${stringify([...CAPABILITIES])}{{- end -}}

{{- define "fairlead.nodeMounts" -}}
${stringify(mounts, { lineWidth: 0, defaultStringType: 'PLAIN', defaultKeyType: 'PLAIN' }).replaceAll("'", '')}{{- end -}}
`;
}

function withDsr(map: keyof typeof DSR_ENTRIES): string {
	const usual = `ternary ${DSR_ENTRIES[map]} ${Maps[map].maxEntries} (eq "dsr" (default "snat" $config.northSouth))`;
	return `default (${usual}) $maps.${map}`;
}

/** Entries of the maps that the configuration can change, as template expressions of a number. */
const ENTRIES: Readonly<Partial<Record<MapName, string>>> = {
	...Object.fromEntries(
		(Object.keys(CONFIG_KEYS.maps.schema.shape) as MapName[]).map((map) => [
			map,
			`default ${Maps[map].maxEntries} $maps.${map}`,
		]),
	),
	ct4: `default ${Maps.ct4.maxEntries} $config.ctMaxEntries`,
	ct6: `default ${Maps.ct6.maxEntries} $config.ctMaxEntries`,
	slots: withDsr('slots'),
	xdp_svc: withDsr('xdp_svc'),
	conns: `default (default ${Maps.conns.maxEntries} $maps.backends) $maps.conns`,
};

/** Bytes of a map are linear in its entries, but for the buckets of a hash map: a power of two. */
function memoryTemplate(): string {
	const lines: string[] = [];
	let fixed = 0;
	for (const [map, spec] of Object.entries(Maps) as [MapName, MapSpec][]) {
		const entries = ENTRIES[map];
		if (entries === undefined) {
			fixed += mapBytes(spec, spec.maxEntries, ASSUMED_CPUS);
			continue;
		}
		const at = (n: number): number => mapBytes(spec, n, ASSUMED_CPUS);
		const buckets = at(3) - at(2) !== at(2) - at(1) || at(5) - at(4) !== at(4) - at(3) ? 16 : 0;
		const each = at(4096) - at(4095);
		const base = at(4096) - 4096 * (each + buckets);
		lines.push(
			`{{- $bytes = add $bytes ${base} (include "fairlead.mapBytes" (dict "entries" (${entries}) "each" ${each} "bucket" ${buckets})) -}}`,
		);
	}
	return `{{- /* ${MADE} Sizes as agent/kernel/map-memory.ts has them. */ -}}
{{- define "fairlead.mapBytes" -}}
{{- $entries := toJson .entries | int64 -}}
{{- $buckets := int64 1 -}}
{{- range until 25 }}{{ if lt $buckets $entries }}{{ $buckets = mul $buckets 2 }}{{ end }}{{ end -}}
{{- add (mul $entries .each) (mul $buckets .bucket) -}}
{{- end -}}

{{- define "fairlead.memoryLimit" -}}
{{- $config := .Values.config -}}
{{- $maps := default dict $config.maps -}}
{{- $bytes := int64 ${fixed} -}}
${lines.join('\n')}
{{- $step := mul ${STEP_MI} 1048576 -}}
{{- $total := add $bytes (mul (toJson .Values.agentMemoryMi | int64) 1048576) -}}
{{- printf "%dMi" (mul ${STEP_MI} (div (add $total (sub $step 1)) $step)) -}}
{{- end -}}
`;
}
