/**
 * The patch types of the API: JSON Merge Patch (RFC 7386), JSON Patch (RFC 6902) and strategic merge, which here merges the
 * lists that Kubernetes merges for the kinds of this server and treats everything else as a merge patch.
 */
import { ApiError } from './status.ts';

type Json = unknown;
type JsonObject = Record<string, Json>;

function isObject(value: Json): value is JsonObject {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** RFC 7386. */
export function mergePatch(target: Json, patch: Json): Json {
	if (!isObject(patch)) return patch;
	const result: JsonObject = isObject(target) ? { ...target } : {};
	for (const [key, value] of Object.entries(patch)) {
		if (value === null) delete result[key];
		else result[key] = mergePatch(result[key], value);
	}
	return result;
}

/** patchMergeKey of lists, by field name; the API types of the kinds used here agree on these. */
const MERGE_KEYS: Readonly<Record<string, string>> = {
	conditions: 'type',
	containers: 'name',
	addresses: 'type',
	podIPs: 'ip',
	taints: 'key',
	ownerReferences: 'uid',
};

/** spec.ports of a Service is merged by port; those of a container by containerPort. */
function mergeKeyOf(field: string, items: readonly Json[]): string | undefined {
	if (field !== 'ports') return MERGE_KEYS[field];
	return items.some((item) => isObject(item) && 'containerPort' in item) ? 'containerPort' : 'port';
}

/** Strategic merge patch with $patch, $setElementOrder and $retainKeys as far as kubectl sends them for these kinds. */
export function strategicMerge(target: Json, patch: Json): Json {
	if (!isObject(patch)) return patch;
	if (patch.$patch === 'replace') {
		const { $patch: _directive, ...rest } = patch;
		return rest;
	}
	const result: JsonObject = isObject(target) ? { ...target } : {};
	for (const [key, value] of Object.entries(patch)) {
		if (key.startsWith('$')) continue;
		if (value === null) delete result[key];
		else if (Array.isArray(value)) result[key] = mergeList(key, result[key], value);
		else result[key] = strategicMerge(result[key], value);
	}
	return result;
}

function mergeList(field: string, target: Json, patch: readonly Json[]): Json {
	const key = mergeKeyOf(field, patch);
	if (key === undefined || !Array.isArray(target) || !patch.every((item) => isObject(item) && key in item))
		return patch;
	const result: Json[] = [...target];
	for (const item of patch as JsonObject[]) {
		const at = result.findIndex((each) => isObject(each) && each[key] === item[key]);
		if (item.$patch === 'delete') {
			if (at >= 0) result.splice(at, 1);
		} else if (at >= 0) result[at] = strategicMerge(result[at], item);
		else result.push(item);
	}
	return result;
}

interface Operation {
	readonly op: string;
	readonly path: string;
	readonly from?: string;
	readonly value?: Json;
}

/** RFC 6902. @throws ApiError 422 when an operation cannot be applied */
export function jsonPatch(target: Json, operations: Json): Json {
	if (!Array.isArray(operations)) throw new ApiError(400, 'a JSON patch is a list of operations');
	const root: JsonObject = { '': structuredClone(target) };
	for (const operation of operations as Operation[]) applyOperation(root, operation);
	return root[''];
}

function applyOperation(root: JsonObject, { op, path, from = '', value }: Operation): void {
	if (op === 'add') add(root, path, value);
	else if (op === 'remove') remove(root, path);
	else if (op === 'replace') {
		remove(root, path);
		add(root, path, value);
	} else if (op === 'move') add(root, path, remove(root, from));
	else if (op === 'copy') add(root, path, structuredClone(read(root, from)));
	else if (op !== 'test') throw refused(`unknown operation ${op}`);
	else if (JSON.stringify(read(root, path)) !== JSON.stringify(value)) throw refused(`testing path ${path} failed`);
}

function refused(message: string): ApiError {
	return new ApiError(422, `the server rejected our request due to an error in our request: ${message}`);
}

function locate(root: JsonObject, path: string): { parent: Json; key: string } {
	const parts = path.split('/').map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
	const key = parts.pop() ?? '';
	let parent: Json = root;
	for (const part of parts) {
		parent = Array.isArray(parent) ? parent[Number(part)] : isObject(parent) ? parent[part] : undefined;
	}
	if (!Array.isArray(parent) && !isObject(parent)) throw refused(`path ${path} does not exist`);
	return { parent, key };
}

function read(root: JsonObject, path: string): Json {
	const { parent, key } = locate(root, path);
	const value = Array.isArray(parent) ? parent[Number(key)] : (parent as JsonObject)[key];
	if (value === undefined) throw refused(`path ${path} does not exist`);
	return value;
}

function add(root: JsonObject, path: string, value: Json): void {
	const { parent, key } = locate(root, path);
	if (Array.isArray(parent)) parent.splice(key === '-' ? parent.length : Number(key), 0, value);
	else (parent as JsonObject)[key] = value;
}

function remove(root: JsonObject, path: string): Json {
	const value = read(root, path);
	const { parent, key } = locate(root, path);
	if (Array.isArray(parent)) parent.splice(Number(key), 1);
	else delete (parent as JsonObject)[key];
	return value;
}
