/**
 * Building blocks for reading Kubernetes objects: optional fields may be absent or null, problems carry the field path
 * as people write it (`spec.ports[0].port`).
 */
import * as z from 'zod';
import type { Address, Cidr } from './address.ts';
import { familyOf, parseAddress, parseCidr } from './address.ts';

export interface FieldIssue {
	/** '' = the object itself. */
	readonly path: string;
	/** What was expected and what was found. */
	readonly message: string;
}

export type Parsed<T> =
	| { readonly ok: true; readonly value: T }
	| { readonly ok: false; readonly issues: readonly FieldIssue[] };

/** Transport protocols a Service may name, with their IP protocol numbers (bpf/abi/limits.h, enum l4_proto). */
export const PROTOCOL_NUMBER = { TCP: 6, UDP: 17, SCTP: 132 } as const;
export type Protocol = keyof typeof PROTOCOL_NUMBER;

/** An optional field: absent and null mean `fallback`. */
export function optional<S extends z.ZodType, D>(schema: S, fallback: D) {
	return schema.nullish().transform((value): z.output<S> | D => value ?? fallback);
}

/** An optional list: absent and null mean empty. */
export function list<S extends z.ZodType>(schema: S) {
	return z
		.array(schema)
		.nullish()
		.transform((value): z.output<S>[] => value ?? []);
}

/** An optional map of strings; YAML authors write numbers and booleans unquoted, which is refused as Kubernetes does. */
export const stringMap = z
	.record(z.string(), z.string())
	.nullish()
	.transform((value): Readonly<Record<string, string>> => value ?? {});

export const protocol = optional(z.enum(['TCP', 'UDP', 'SCTP']), 'TCP' as const);
export const port = z.int().min(1).max(65535);
/** 0 = not set. */
export const optionalPort = optional(z.int().min(0).max(65535), 0);

export const address = z.string().transform((text, context): Address => {
	const parsed = parseAddress(text.trim());
	if (parsed !== undefined) return parsed;
	context.addIssue({ code: 'custom', message: `expected an IP address, got ${JSON.stringify(text)}` });
	return z.NEVER;
});

export const cidr = z.string().transform((text, context): Cidr => {
	const parsed = parseCidr(text.trim());
	if (parsed !== undefined) return parsed;
	context.addIssue({ code: 'custom', message: `expected a prefix ADDRESS/LENGTH, got ${JSON.stringify(text)}` });
	return z.NEVER;
});

/** Whether no two of them are of one family, as the API server wants it of a Node's pod CIDRs. */
export function isOnePerFamily(cidrs: readonly Cidr[]): boolean {
	return new Set(cidrs.map(familyOf)).size === cidrs.length;
}

export const ONE_PER_FAMILY = 'expected at most one prefix of each family';

const objectName = z.string().min(1).max(253);

/** metadata of a namespaced object; a missing namespace is `default`, as kubectl applies it. */
export const namespacedMeta = z.object({
	name: objectName,
	namespace: optional(objectName, 'default'),
	labels: stringMap,
	annotations: stringMap,
	uid: optional(z.string(), ''),
	creationTimestamp: optional(z.string(), ''),
});

/** metadata of a cluster-scoped object. */
export const clusterMeta = z.object({
	name: objectName,
	labels: stringMap,
	annotations: stringMap,
	deletionTimestamp: optional(z.string(), ''),
});

/** Runs a schema; never throws. */
export function parseWith<S extends z.ZodType>(schema: S, raw: unknown): Parsed<z.output<S>> {
	const result = schema.safeParse(raw, { error: describeIssue });
	if (result.success) return { ok: true, value: result.data };
	return {
		ok: false,
		issues: result.error.issues.flatMap(complaintsOf).map(({ path, message }) => ({ path: formatPath(path), message })),
	};
}

interface Complaint {
	readonly path: readonly PropertyKey[];
	readonly message: string;
}

/** What people are told. Of a value that may have several forms: what is wrong inside the one it has, else what all of them are. */
function complaintsOf(issue: z.core.$ZodIssue): readonly Complaint[] {
	if (issue.code !== 'invalid_union') return [issue];
	const forms = issue.errors.map((issues) => issues.flatMap(complaintsOf));
	const inside = forms.filter((complaints) => complaints.every(({ path }) => path.length > 0));
	const near = inside.length > 0 ? inside : forms;
	const firsts = near.flatMap((complaints) => complaints.slice(0, 1));
	const [first] = firsts;
	if (first === undefined) return [{ path: issue.path, message: issue.message }];
	const samePlace = firsts.every(({ path }) => formatPath(path) === formatPath(first.path));
	const told = near.length > 1 && samePlace ? [{ ...first, message: eitherOf(firsts) }] : (near[0] ?? []);
	return told.map(({ path, message }) => ({ path: [...issue.path, ...path], message }));
}

/** 'expected A, got X' and 'expected B, got X' → 'expected A or B, got X' */
function eitherOf(complaints: readonly Complaint[]): string {
	const parts = complaints.map(({ message }) => /^expected (.*?)(?:, got (.*))?$/s.exec(message));
	const wanted = new Set(parts.map((part, i) => part?.[1] ?? complaints[i]?.message));
	const got = parts.map((part) => part?.[2]).find((text) => text !== undefined);
	return `expected ${[...wanted].join(' or ')}${got === undefined ? '' : `, got ${got}`}`;
}

/** 'a.b[0]["x y"]' */
export function formatPath(path: readonly PropertyKey[]): string {
	let text = '';
	for (const part of path) {
		if (typeof part === 'number') text += `[${part}]`;
		else if (/^[\w-]+$/.test(String(part))) text += text === '' ? String(part) : `.${String(part)}`;
		else text += `[${JSON.stringify(String(part))}]`;
	}
	return text;
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
	array: 'a list',
	boolean: 'true or false',
	int: 'a whole number',
	number: 'a number',
	object: 'an object',
	record: 'an object',
	string: 'text',
};

/** One form for all messages: expected X, got Y. */
export function describeIssue(issue: z.core.$ZodRawIssue): string | undefined {
	const got = describeValue(issue.input);
	switch (issue.code) {
		case 'invalid_type':
			return `expected ${TYPE_NAMES[issue.expected] ?? issue.expected}, got ${got}`;
		case 'invalid_value':
			return `expected ${issue.values.map((v) => JSON.stringify(v)).join(' or ')}, got ${got}`;
		case 'too_small':
			return `expected at least ${issue.minimum}${issue.origin === 'string' ? ' characters' : ''}, got ${got}`;
		case 'too_big':
			return `expected at most ${issue.maximum}${issue.origin === 'string' ? ' characters' : ''}, got ${got}`;
		case 'unrecognized_keys':
			return `unknown ${issue.keys.length === 1 ? 'key' : 'keys'} ${issue.keys.map((k) => JSON.stringify(k)).join(', ')}`;
		default:
			return undefined;
	}
}

/** A value as short text for a message. */
export function describeValue(value: unknown): string {
	if (value === undefined) return 'nothing';
	if (value === null) return 'null';
	if (Array.isArray(value)) return `a list of ${value.length}`;
	if (typeof value === 'object') return 'an object';
	if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
	return String(value);
}
