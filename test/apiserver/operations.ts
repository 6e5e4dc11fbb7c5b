/**
 * What requests do to the storage: lists with all their parameters, writes of every form, deletions.
 */
import { apiVersionOf, findResource, type KindInfo } from './kinds.ts';
import { jsonPatch, mergePatch, strategicMerge } from './patch.ts';
import { parseSelectors } from './selectors.ts';
import { ApiError, expired, notFound } from './status.ts';
import { type ApiObject, keyOf, type Storage, type Version } from './storage.ts';

interface Target {
	readonly info: KindInfo;
	readonly namespace: string;
	readonly name: string;
	readonly subresource: string;
}

/** The answer to a list request as JSON. */
export function listObjects(storage: Storage, { info, namespace }: Target, query: URLSearchParams): string {
	const [labels, fields] = [query.get('labelSelector'), query.get('fieldSelector')];
	const test = parseSelectors(info, labels, fields);
	const limit = Number(query.get('limit') ?? 0);
	const token = query.get('continue') ?? '';
	checkVersion(storage, query, token);
	const page = storage.list(info, namespace, test, limit, token);
	const metadata: Record<string, unknown> = { resourceVersion: String(page.revision) };
	if (page.continue !== '') metadata.continue = page.continue;
	if (page.remaining > 0 && !labels && !fields) metadata.remainingItemCount = page.remaining;
	const items = page.versions.map(({ json }) => json).join(',');
	return `{"kind":"${info.kind}List","apiVersion":"${apiVersionOf(info)}","metadata":${JSON.stringify(metadata)},"items":[${items}]}`;
}

/** resourceVersion and resourceVersionMatch of a list, by the table in the API concepts of Kubernetes. */
function checkVersion(storage: Storage, query: URLSearchParams, token: string): void {
	const version = query.get('resourceVersion') ?? '';
	const match = query.get('resourceVersionMatch');
	if (!/^\d*$/.test(version)) throw new ApiError(400, `invalid resource version ${JSON.stringify(version)}`);
	if (token !== '' && version !== '' && version !== '0') {
		throw new ApiError(400, 'specifying resource version is not allowed when using continue');
	}
	if (match !== null && version === '') {
		throw new ApiError(400, 'resourceVersionMatch is forbidden unless resourceVersion is provided');
	}
	if (match !== null && match !== 'Exact' && match !== 'NotOlderThan') {
		throw new ApiError(400, `resourceVersionMatch: unsupported value ${JSON.stringify(match)}`);
	}
	const wanted = Number(version);
	if (wanted > storage.revision) {
		throw new ApiError(504, `Too large resource version: ${version}, current: ${storage.revision}`, {
			retryAfterSeconds: 1,
			causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
		});
	}
	if (match === 'Exact' && wanted === 0)
		throw new ApiError(400, 'resourceVersionMatch Exact is forbidden for version 0');
	if (match === 'Exact' && wanted !== storage.revision)
		throw expired(`The resourceVersion for the provided list is too old.`);
}

/** Makes an object exist as it is given, status included, whatever was there: what no client can do in one step. */
export function putObject(storage: Storage, info: KindInfo, body: unknown): Version {
	const object = objectOf(body);
	const { resourceVersion: _version, ...metadata } = object.metadata;
	if (info.namespaced) metadata.namespace ??= 'default';
	else delete metadata.namespace;
	const next = { ...object, metadata };
	const exists = storage.get(info, keyOf(info, metadata.namespace ?? '', metadata.name)) !== undefined;
	return exists ? storage.update(info, next) : storage.create(info, next);
}

export interface Write {
	readonly verb: 'create' | 'update' | 'patch';
	readonly contentType: string;
	readonly body: unknown;
	readonly query: URLSearchParams;
}

/** @returns the state after the write, and whether it is a new object */
export function writeObject(storage: Storage, target: Target, write: Write): { version: Version; created: boolean } {
	const { info, subresource } = target;
	if (subresource !== '' && !(subresource === 'status' && info.status)) throw notFound(info.resource, subresource);
	if (write.verb === 'create') return { version: create(storage, target, write), created: true };
	const key = keyOf(info, target.namespace, target.name);
	const old = storage.get(info, key);
	const apply = write.contentType === 'application/apply-patch+yaml';
	if (old === undefined) {
		if (!apply || subresource !== '') throw notFound(info.resource, target.name);
		return { version: create(storage, target, write), created: true };
	}
	const sent = write.verb === 'patch' ? patched(old.object, write) : objectOf(write.body);
	const next = withSubresource(info, old.object, sent, subresource);
	next.metadata = { ...next.metadata, name: target.name, ...(info.namespaced && { namespace: target.namespace }) };
	if (write.query.has('dryRun'))
		return { version: { ...old, object: next, json: JSON.stringify(next) }, created: false };
	// a patch without a version is retried by the server; one with a version must match
	const based =
		write.verb === 'patch' && !mentionsVersion(write.body) ? { ...next.metadata, resourceVersion: '' } : next.metadata;
	return { version: storage.update(info, { ...next, metadata: based }), created: false };
}

function create(storage: Storage, { info, namespace, name }: Target, { body, query }: Write): Version {
	const object = objectOf(body);
	if (object.kind !== undefined && (object.kind !== info.kind || object.apiVersion !== apiVersionOf(info))) {
		throw new ApiError(
			400,
			`the object is ${object.apiVersion} ${object.kind}, the path is of ${apiVersionOf(info)} ${info.kind}`,
		);
	}
	const prefix = object.metadata.generateName;
	const chosen = object.metadata.name ?? (name || (prefix && `${prefix}${Math.random().toString(36).slice(2, 7)}`));
	if (!chosen)
		throw new ApiError(422, `${info.kind} is invalid: metadata.name: Required value: name or generateName is required`);
	const metadata = { ...object.metadata, name: chosen };
	if (metadata.resourceVersion) throw new ApiError(400, 'resourceVersion should not be set on objects to be created');
	if (info.namespaced) {
		metadata.namespace = namespace || metadata.namespace || '';
		const namespaces = findResource('', 'v1', 'namespaces');
		if (metadata.namespace === '') throw new ApiError(400, 'the namespace of the provided object is missing');
		if (namespaces && storage.get(namespaces, metadata.namespace) === undefined) {
			throw notFound('namespaces', metadata.namespace);
		}
	} else delete metadata.namespace;
	const next: ApiObject = { ...object, metadata };
	if (info.status) delete next.status;
	if (info.kind === 'Namespace') {
		metadata.labels = { ...metadata.labels, 'kubernetes.io/metadata.name': chosen };
		next.status = { phase: 'Active' };
	}
	if (query.has('dryRun')) return { object: next, revision: 0, json: JSON.stringify(next) };
	return storage.create(info, next);
}

function patched(old: ApiObject, { contentType, body }: Write): ApiObject {
	switch (contentType) {
		case 'application/merge-patch+json':
			return objectOf(mergePatch(old, body));
		case 'application/strategic-merge-patch+json':
		case 'application/apply-patch+yaml':
			return objectOf(strategicMerge(old, body));
		case 'application/json-patch+json':
			return objectOf(jsonPatch(old, body));
		default:
			throw new ApiError(415, `the body of the request was in an unknown format: ${contentType}`);
	}
}

function mentionsVersion(body: unknown): boolean {
	return JSON.stringify(body).includes('resourceVersion');
}

/** A write of the status changes only the status, a write of the object everything but the status. */
function withSubresource(info: KindInfo, old: ApiObject, sent: ApiObject, subresource: string): ApiObject {
	if (!info.status) return sent;
	if (subresource === '') return old.status === undefined ? omitStatus(sent) : { ...sent, status: old.status };
	return {
		...old,
		status: sent.status,
		metadata: { ...old.metadata, resourceVersion: sent.metadata.resourceVersion ?? '' },
	};
}

function omitStatus(object: ApiObject): ApiObject {
	const { status: _status, ...rest } = object;
	return rest;
}

/** @returns the last state @throws ApiError 404, or 409 when a precondition does not hold */
export function removeObject(storage: Storage, { info, namespace, name }: Target, options: unknown): Version {
	if (name === '') throw new ApiError(405, 'deletion of a collection is not served');
	const key = keyOf(info, namespace, name);
	const old = storage.get(info, key);
	if (old === undefined) throw notFound(info.resource, name);
	const { preconditions } = (options ?? {}) as { preconditions?: { uid?: string; resourceVersion?: string } };
	const { uid, resourceVersion } = old.object.metadata;
	if ((preconditions?.uid ?? uid) !== uid || (preconditions?.resourceVersion ?? resourceVersion) !== resourceVersion) {
		throw new ApiError(409, `Precondition failed: the object of ${info.resource} "${name}" is another one`);
	}
	return storage.delete(info, key) ?? old;
}

function objectOf(value: unknown): ApiObject {
	if (typeof value !== 'object' || value === null || Array.isArray(value)) {
		throw new ApiError(400, 'the object provided is unrecognized: expected an object');
	}
	const object = value as Partial<ApiObject>;
	return { ...object, metadata: { ...(object.metadata as ApiObject['metadata']) } };
}
