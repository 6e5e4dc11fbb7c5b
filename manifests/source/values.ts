/**
 * What an installation may choose. One schema for `fairlead install --values`, the Helm chart (values.schema.json and
 * values.yaml are made from it) and the Kustomize base, which is the defaults.
 */
import { parse } from 'yaml';
import * as z from 'zod';
import { CONFIG_KEYS, type ConfigName } from '../../agent/config/schema.ts';
import { errorMessage, FairleadError } from '../../agent/model/errors.ts';
import { type FieldIssue, parseWith } from '../../agent/model/fields.ts';

/** Keys of the agent's configuration that the manifests set themselves. */
export const FIXED_KEYS = [
	'nodeName',
	'source',
	'standalone',
	'filesDir',
	'kubeconfig',
	'cgroupRoot',
	'podCidrs',
] as const;
export type FixedKey = (typeof FIXED_KEYS)[number];

/** The probes of the DaemonSet need the port. */
const probedAddress = z
	.string()
	.regex(/^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+):\d{1,5}$/, 'expected ADDRESS:PORT or [ADDRESS]:PORT');

type ConfigShape = { [K in Exclude<ConfigName, FixedKey>]: z.ZodOptional<(typeof CONFIG_KEYS)[K]['schema']> };

function configSchema() {
	const names = (Object.keys(CONFIG_KEYS) as ConfigName[]).filter(
		(name) => !FIXED_KEYS.some((fixed) => fixed === name),
	);
	const shape = Object.fromEntries(
		names.map((name) => [name, CONFIG_KEYS[name].schema.optional().describe(CONFIG_KEYS[name].help)]),
	) as unknown as ConfigShape;
	return z.strictObject({
		...shape,
		bpffsDir: z
			.string()
			.regex(/^\/sys\/fs\/bpf\/./, 'expected a directory below /sys/fs/bpf')
			.optional()
			.describe(CONFIG_KEYS.bpffsDir.help),
		healthzBindAddress: probedAddress.optional().describe(`${CONFIG_KEYS.healthzBindAddress.help}; probes ask it`),
	});
}

const names = z.record(z.string(), z.string());
const quantity = z
	.string()
	.regex(/^([0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi)?)?$/, 'expected a quantity such as 100m or 512Mi');
const name = z.string().regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, 'expected a name of lower-case letters, digits and -');
/** A number of nodes or a share of them. */
const countOrShare = z.union([
	z.int().min(1),
	z.string().regex(/^([1-9][0-9]?|100)%$/, 'expected a share such as 10%'),
]);

export const valuesSchema = z.strictObject({
	global: z.unknown().optional().describe('not used; Helm hands it to charts inside another one'),
	image: z
		.strictObject({
			repository: z.string().min(1).describe('without tag'),
			tag: z.string().describe("empty = this version's"),
			digest: z
				.string()
				.regex(/^(sha256:[0-9a-f]{64})?$/, 'expected sha256: and 64 hexadecimal digits')
				.describe('sha256:…; wins over the tag'),
			pullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']),
			pullSecrets: z.array(name).describe('names of Secrets in the same namespace'),
		})
		.describe('the one image of agent, command line tool and CNI plugin'),
	namespace: z
		.strictObject({
			create: z
				.boolean()
				.describe('make the Namespace object; with Helm: label an existing one as docs/install.md says'),
		})
		.describe('where the namespaced objects are'),
	config: configSchema().describe(
		"the agent's configuration file, key by key; `fairlead config` on a node shows the one in force",
	),
	cgroup2HostPath: z
		.string()
		.regex(/^\/[^:]+$/, 'expected an absolute path')
		.describe("the node's cgroup v2; /sys/fs/cgroup/unified on nodes that still have v1"),
	mountFilesystems: z
		.boolean()
		.describe(
			'a privileged init container mounts bpffs and cgroup2 where they are missing; systemd mounts them by itself',
		),
	agentMemoryMi: z
		.int()
		.min(256)
		.max(16_384)
		.describe('memory of the agent itself, in MiB; that of its BPF maps is added'),
	resources: z
		.strictObject({
			requests: z.strictObject({ cpu: quantity, memory: quantity }),
			limits: z
				.strictObject({ cpu: quantity, memory: quantity })
				.describe('cpu: empty = none; memory: empty = agentMemoryMi and all maps when full'),
		})
		.describe('of the agent container'),
	priorityClassName: name,
	nodeSelector: names,
	tolerations: z.array(z.looseObject({})).describe('as in a pod; the default tolerates everything'),
	affinity: z.looseObject({}).describe('as in a pod'),
	podAnnotations: names,
	podLabels: names,
	restrictToOwnNode: z
		.boolean()
		.describe(
			'Kubernetes 1.30 or later: an admission policy that lets an agent change no Node but its own, which RBAC cannot say',
		),
	updateStrategy: z.strictObject({
		maxUnavailable: countOrShare.describe('nodes whose agent is replaced at the same time; traffic goes on meanwhile'),
	}),
	terminationGracePeriodSeconds: z.int().min(1).max(600).describe('for CNI requests that are under way'),
	monitoring: z
		.strictObject({
			podMonitor: z
				.boolean()
				.describe('a PodMonitor; opens /metrics on the node addresses unless config.metricsBindAddress says otherwise'),
			rules: z.boolean().describe('a PrometheusRule with alerts'),
			labels: names.describe('of both, as the Prometheus object selects them'),
			interval: z.string().regex(/^[0-9]+(s|m)$/, 'expected seconds or minutes such as 30s'),
		})
		.describe('needs the CRDs of the Prometheus operator'),
});

export type Values = z.output<typeof valuesSchema>;
export type ValuesInput = z.input<typeof valuesSchema>;

export const DEFAULT_VALUES: Values = {
	image: { repository: 'fairlead', tag: '', digest: '', pullPolicy: 'IfNotPresent', pullSecrets: [] },
	namespace: { create: true },
	config: {},
	cgroup2HostPath: '/sys/fs/cgroup',
	mountFilesystems: true,
	agentMemoryMi: 512,
	resources: { requests: { cpu: '100m', memory: '256Mi' }, limits: { cpu: '', memory: '' } },
	priorityClassName: 'system-node-critical',
	nodeSelector: { 'kubernetes.io/os': 'linux' },
	tolerations: [{ operator: 'Exists' }],
	affinity: {},
	podAnnotations: {},
	podLabels: {},
	restrictToOwnNode: false,
	updateStrategy: { maxUnavailable: '10%' },
	terminationGracePeriodSeconds: 45,
	monitoring: { podMonitor: false, rules: false, labels: {}, interval: '30s' },
};

/** Each value with where it is from, as people write it: [{ from: '--set', value: {...} }]. */
export interface ValuesLayer {
	readonly from: string;
	readonly value: unknown;
}

/**
 * Defaults with layers on top, later ones winning: objects are merged, everything else is replaced, null takes a key away.
 * @throws FairleadError CONFIG_INVALID naming every wrong value and what was expected
 */
export function resolveValues(layers: readonly ValuesLayer[]): Values {
	let merged: unknown = DEFAULT_VALUES;
	for (const { from, value } of layers) {
		if (value === null || value === undefined) continue;
		if (!isObject(value)) throw invalid([`${from}: expected keys and values`]);
		merged = merge(merged, value);
	}
	const result = parseWith(valuesSchema, merged);
	// as given: the schema reads prefixes into another form, which is the agent's business
	if (result.ok) return merged as Values;
	const from = layers.map((layer) => layer.from).join(', ') || 'defaults';
	throw invalid(result.issues.map((issue) => `${from}: ${formatIssue(issue)}`));
}

/** @throws FairleadError CONFIG_INVALID when the text is not YAML */
export function parseLayer(from: string, text: string): ValuesLayer {
	try {
		return { from, value: parse(text) };
	} catch (cause) {
		throw invalid([`${from}: ${errorMessage(cause).split('\n', 1)[0]}`]);
	}
}

/** 'config.routing=direct' as a layer; the value is read as YAML. */
export function assignmentLayer(assignment: string): ValuesLayer {
	const at = assignment.indexOf('=');
	const path = assignment.slice(0, at).split('.');
	if (at < 1 || path.includes('')) throw invalid([`--set ${assignment}: expected KEY.KEY=VALUE`]);
	const { value } = parseLayer(`--set ${assignment}`, assignment.slice(at + 1));
	return {
		from: `--set ${assignment}`,
		value: path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value),
	};
}

function formatIssue({ path, message }: FieldIssue): string {
	return path === '' ? message : `${path}: ${message}`;
}

function invalid(problems: readonly string[]): FairleadError {
	const text = problems.map((problem) => `  ${problem}`).join('\n');
	return new FairleadError('CONFIG_INVALID', `values refused:\n${text}`, { problems });
}

function isObject(value: unknown): value is Record<string, unknown> {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function merge(base: unknown, over: unknown): unknown {
	if (!isObject(base) || !isObject(over)) return over;
	const merged: Record<string, unknown> = { ...base };
	for (const [key, value] of Object.entries(over)) {
		if (value === null) delete merged[key];
		else merged[key] = merge(merged[key], value);
	}
	return merged;
}
