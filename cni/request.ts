/**
 * From environment and standard input to a typed request. Everything that is missing or wrong is reported at once.
 */
import type * as z from 'zod';
import type { PodRef, PortMapping } from '../agent/endpoints/attachment.ts';
import { errorMessage } from '../agent/model/errors.ts';
import { describeIssue } from '../agent/model/fields.ts';
import { CniCode, CniError } from './cni-error.ts';
import { configSchema, type NetworkConfig, UNSUPPORTED_RUNTIME_CONFIG } from './config-schema.ts';
import type { FrontRequest } from './protocol.ts';
import { type CniVersion, isAtLeast, isCniVersion } from './versions.ts';

export type Verb = 'ADD' | 'DEL' | 'CHECK' | 'STATUS' | 'GC';

export interface CniRequest {
	readonly verb: Verb;
	readonly version: CniVersion;
	/** '' for STATUS and GC. */
	readonly containerId: string;
	readonly ifname: string;
	/** '' = not given. */
	readonly netns: string;
	readonly allowOwnNetns: boolean;
	readonly pod: PodRef | null;
	readonly portMappings: readonly PortMapping[];
	readonly config: NetworkConfig;
	/** `config.prevResult` as it came, for printing. */
	readonly rawPrevResult: Readonly<Record<string, unknown>> | undefined;
}

const REQUIRED: Record<Verb, readonly string[]> = {
	ADD: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'],
	DEL: ['CNI_CONTAINERID', 'CNI_IFNAME'],
	CHECK: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'],
	STATUS: [],
	GC: [],
};

/** The version a verb came with. */
const SINCE: Partial<Record<Verb, CniVersion>> = { CHECK: '0.4.0', STATUS: '1.1.0', GC: '1.1.0' };
const ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const IFNAME = /^[^\s/:]{1,15}$/;

/** @throws CniError naming every input that is missing or wrong */
export function parseRequest(front: FrontRequest): CniRequest {
	const verb = parseVerb(front.env.get('CNI_COMMAND') ?? '');
	const { config, raw } = parseConfig(front.stdin, verb);
	checkVerb(verb, config);
	checkEnvironment(verb, front.env);
	if (verb === 'ADD') checkSupported(config);
	const override = front.env.get('CNI_NETNS_OVERRIDE')?.toLowerCase();
	return {
		verb,
		version: config.cniVersion,
		containerId: front.env.get('CNI_CONTAINERID') ?? '',
		ifname: front.env.get('CNI_IFNAME') ?? '',
		netns: front.env.get('CNI_NETNS') ?? '',
		allowOwnNetns: override === '1' || override === 'true',
		pod: podOf(front.env.get('CNI_ARGS') ?? ''),
		portMappings: portMappingsOf(config),
		config,
		rawPrevResult: isObject(raw.prevResult) ? raw.prevResult : undefined,
	};
}

function parseVerb(command: string): Verb {
	if (Object.hasOwn(REQUIRED, command)) return command as Verb;
	throw new CniError(CniCode.INVALID_ENVIRONMENT, `CNI_COMMAND ${JSON.stringify(command)} is unknown`);
}

function parseConfig(stdin: string, verb: Verb): { config: NetworkConfig; raw: Record<string, unknown> } {
	let raw: unknown;
	try {
		raw = JSON.parse(stdin);
	} catch (error) {
		throw new CniError(CniCode.DECODE, `cannot decode the network configuration: ${errorMessage(error)}`);
	}
	if (!isObject(raw)) throw new CniError(CniCode.DECODE, 'cannot decode the network configuration: it is no object');
	if (typeof raw.cniVersion !== 'string' || !isCniVersion(raw.cniVersion)) {
		const found = raw.cniVersion === undefined ? 'is missing' : `${JSON.stringify(raw.cniVersion)} is not supported`;
		throw new CniError(CniCode.INCOMPATIBLE_VERSION, `network configuration: cniVersion ${found}`, versionDetails());
	}
	// DEL must not fail because of a part that it does not use.
	const parsed = configSchema.safeParse(
		verb === 'DEL' ? { cniVersion: raw.cniVersion, name: raw.name, type: '-' } : raw,
		{ error: describeIssue },
	);
	if (parsed.success) return { config: parsed.data, raw };
	throw new CniError(CniCode.INVALID_CONFIG, `network configuration: ${describe(parsed.error)}`);
}

function versionDetails(): string {
	return `supported: ${configSchema.shape.cniVersion.options.join(', ')}`;
}

/** 'runtimeConfig.portMappings[0].hostPort must be …; name must be …' */
function describe(error: z.ZodError): string {
	return error.issues.map((issue) => `${fieldName(issue.path)}: ${issue.message}`).join('; ');
}

function fieldName(path: readonly PropertyKey[]): string {
	return path.reduce<string>((text, part) => {
		if (typeof part === 'number') return `${text}[${part}]`;
		return text === '' ? String(part) : `${text}.${String(part)}`;
	}, '');
}

function checkVerb(verb: Verb, config: NetworkConfig): void {
	const since = SINCE[verb];
	if (since !== undefined && !isAtLeast(config.cniVersion, since)) {
		throw new CniError(
			CniCode.INCOMPATIBLE_VERSION,
			`network configuration: cniVersion ${config.cniVersion} has no ${verb}; it came with ${since}`,
		);
	}
	const missing: string[] = [];
	if (verb === 'CHECK' && !config.prevResult) missing.push('prevResult');
	if (verb === 'GC' && !validAttachments(config)) missing.push('cni.dev/valid-attachments');
	if (missing.length > 0) {
		throw new CniError(CniCode.INVALID_CONFIG, `network configuration: ${verb} needs ${missing.join(', ')}`);
	}
}

function checkEnvironment(verb: Verb, env: ReadonlyMap<string, string>): void {
	const missing = REQUIRED[verb].filter((name) => !env.get(name));
	if (missing.length > 0) {
		const text = `${verb}: required environment variables are missing: ${missing.join(', ')}`;
		throw new CniError(CniCode.INVALID_ENVIRONMENT, text, missing.join(', '));
	}
	if (REQUIRED[verb].length === 0) return;
	const wrong: string[] = [];
	const id = env.get('CNI_CONTAINERID') ?? '';
	const ifname = env.get('CNI_IFNAME') ?? '';
	if (!ID.test(id)) wrong.push(`CNI_CONTAINERID ${JSON.stringify(id)}`);
	if (!IFNAME.test(ifname) || ifname === '.' || ifname === '..') wrong.push(`CNI_IFNAME ${JSON.stringify(ifname)}`);
	if (wrong.length > 0) throw new CniError(CniCode.INVALID_ENVIRONMENT, `invalid environment: ${wrong.join(', ')}`);
}

/** What we would have to ignore although somebody relies on it. */
function checkSupported(config: NetworkConfig): void {
	const asked = UNSUPPORTED_RUNTIME_CONFIG.filter((key) => isAsked(config.runtimeConfig?.[key]));
	const fields = asked.map((key) => `runtimeConfig.${key}`);
	if (config.ipam?.type) fields.push('ipam');
	if (fields.length === 0) return;
	const asksAddresses = fields.some((field) => ['ipam', 'runtimeConfig.ips', 'runtimeConfig.ipRanges'].includes(field));
	const why = asksAddresses ? ": addresses come from the node's pod CIDRs" : '';
	const text = `network configuration: ${fields.join(', ')} not supported${why}`;
	throw new CniError(CniCode.UNSUPPORTED_FIELD, text, fields.join(', '));
}

function isAsked(value: unknown): boolean {
	if (value === undefined || value === null || value === '') return false;
	return !Array.isArray(value) || value.length > 0;
}

/** Attachments that GC must keep; the second key is what libcni wrote before the specification was final. */
export function validAttachments(
	config: NetworkConfig,
): readonly { containerID: string; ifname: string }[] | undefined {
	return config['cni.dev/valid-attachments'] ?? config['cni.dev/attachments'] ?? undefined;
}

/** hostPort 0 means none. */
function portMappingsOf(config: NetworkConfig): PortMapping[] {
	return (config.runtimeConfig?.portMappings ?? [])
		.filter((mapping) => mapping.hostPort !== 0)
		.map((mapping) => ({
			hostAddress: mapping.hostIP ? mapping.hostIP : null,
			hostPort: mapping.hostPort,
			protocol: mapping.protocol,
			podPort: mapping.containerPort,
		}));
}

/** 'IgnoreUnknown=1;K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;K8S_POD_UID=c' */
function podOf(args: string): PodRef | null {
	const values = new Map<string, string>();
	for (const part of args.split(';')) {
		const equals = part.indexOf('=');
		if (equals > 0) values.set(part.slice(0, equals), part.slice(equals + 1));
	}
	const [namespace, name] = [values.get('K8S_POD_NAMESPACE') ?? '', values.get('K8S_POD_NAME') ?? ''];
	if (namespace === '' || name === '') return null;
	return { namespace, name, uid: values.get('K8S_POD_UID') ?? '' };
}

function isObject(value: unknown): value is Record<string, unknown> {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}
