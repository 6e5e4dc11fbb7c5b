/**
 * Label and field selectors, as query parameters write them.
 */
import type { KindInfo } from './kinds.ts';
import { ApiError } from './status.ts';
import type { ApiObject } from './storage.ts';

export type Predicate = (object: ApiObject) => boolean;

const EVERYTHING: Predicate = () => true;

/** @throws ApiError 400 on a selector that cannot be read or a field that the kind does not offer */
export function parseSelectors(info: KindInfo, labels: string | null, fields: string | null): Predicate {
	const tests = [
		...splitRequirements(labels ?? '').map(labelTest),
		...splitRequirements(fields ?? '').map((text) => fieldTest(info, text)),
	];
	return tests.length === 0 ? EVERYTHING : (object) => tests.every((test) => test(object));
}

/** At commas outside of parentheses. */
function splitRequirements(text: string): string[] {
	const parts: string[] = [];
	let depth = 0;
	let start = 0;
	for (let i = 0; i < text.length; i++) {
		if (text[i] === '(') depth++;
		else if (text[i] === ')') depth--;
		else if (text[i] === ',' && depth === 0) {
			parts.push(text.slice(start, i));
			start = i + 1;
		}
	}
	parts.push(text.slice(start));
	return parts.map((part) => part.trim()).filter((part) => part !== '');
}

const KEY = /^[A-Za-z0-9]([\w./-]*[A-Za-z0-9])?$/;

function labelTest(text: string): Predicate {
	const label = (object: ApiObject, key: string): string | undefined => object.metadata.labels?.[key];
	const set = /^(\S+)\s+(in|notin)\s*\(([^)]*)\)$/.exec(text);
	if (set) {
		const [, key = '', operator, list = ''] = set;
		const values = list.split(',').map((value) => value.trim());
		const inside = (object: ApiObject): boolean => {
			const value = label(object, key);
			return value !== undefined && values.includes(value);
		};
		return operator === 'in' ? inside : (object) => !inside(object);
	}
	const equal = /^([^=!\s]+)\s*(==|=|!=)\s*(\S*)$/.exec(text);
	if (equal) {
		const [, key = '', operator, value] = equal;
		return operator === '!=' ? (object) => label(object, key) !== value : (object) => label(object, key) === value;
	}
	const absent = text.startsWith('!');
	const key = absent ? text.slice(1).trim() : text;
	if (!KEY.test(key)) throw new ApiError(400, `unable to parse requirement: ${JSON.stringify(text)}`);
	return (object) => (label(object, key) === undefined) === absent;
}

function fieldTest(info: KindInfo, text: string): Predicate {
	const match = /^([^=!\s]+)\s*(==|=|!=)\s*(\S*)$/.exec(text);
	if (match === null) throw new ApiError(400, `invalid field selector: ${JSON.stringify(text)}`);
	const [, path = '', operator, wanted] = match;
	const known = ['metadata.name', ...(info.namespaced ? ['metadata.namespace'] : []), ...info.fields];
	if (!known.includes(path)) {
		throw new ApiError(400, `field label not supported: ${path}`);
	}
	const keys = path.split('.');
	return (object) => {
		let value: unknown = object;
		for (const key of keys) value = (value as Record<string, unknown> | null | undefined)?.[key];
		const text = value === undefined || value === null ? '' : String(value);
		return operator === '!=' ? text !== wanted : text === wanted;
	};
}
