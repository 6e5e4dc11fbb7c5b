/**
 * What clients ask before they know any kind: versions, groups, resources, and as much of OpenAPI as `kubectl apply` needs to
 * leave validation to the server.
 */
import { KINDS, type KindInfo, pathOf } from './kinds.ts';

const VERBS = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'];

function groupVersions(): Map<string, string[]> {
	const groups = new Map<string, string[]>();
	for (const { group, version } of KINDS) {
		if (group === '') continue;
		const versions = groups.get(group) ?? [];
		if (!versions.includes(version)) versions.push(version);
		groups.set(group, versions);
	}
	return groups;
}

function groupOf(name: string, versions: readonly string[]) {
	const all = versions.map((version) => ({ groupVersion: `${name}/${version}`, version }));
	return { name, versions: all, preferredVersion: all[0] };
}

function resourcesOf(group: string, version: string) {
	const kinds = KINDS.filter((each) => each.group === group && each.version === version);
	if (kinds.length === 0) return undefined;
	const resources = kinds.flatMap(({ kind, resource, singular, namespaced, shortNames, status }) => [
		{ name: resource, singularName: singular, namespaced, kind, verbs: VERBS, shortNames },
		...(status
			? [{ name: `${resource}/status`, singularName: '', namespaced, kind, verbs: ['get', 'patch', 'update'] }]
			: []),
	]);
	const groupVersion = group === '' ? version : `${group}/${version}`;
	return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources };
}

/** OpenAPI paths with the one fact that clients look for: PATCH and POST take fieldValidation. */
function openApi(kinds: readonly KindInfo[]) {
	const operation = ({ group, version, kind }: KindInfo) => ({
		parameters: [
			{ name: 'fieldValidation', in: 'query', schema: { type: 'string' } },
			{ name: 'dryRun', in: 'query', schema: { type: 'string' } },
		],
		'x-kubernetes-group-version-kind': { group, version, kind },
		responses: { 200: { description: 'OK' } },
	});
	const paths = kinds.map((each) => {
		const path = each.namespaced ? pathOf(each).replace(/\/(\w+)$/, '/namespaces/{namespace}/$1') : pathOf(each);
		return [`${path}/{name}`, { patch: operation(each), put: operation(each) }] as const;
	});
	return { openapi: '3.0.0', info: { title: 'test', version: 'v1' }, paths: Object.fromEntries(paths), components: {} };
}

/** The answer to a path, or undefined when it is none of these. */
export function discover(path: string): unknown {
	if (path === '/version') {
		return { major: '1', minor: '34', gitVersion: 'v1.34.0-test', gitCommit: '', platform: 'linux/amd64' };
	}
	if (path === '/api') return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] };
	if (path === '/apis') {
		const groups = [...groupVersions()].map(([name, versions]) => groupOf(name, versions));
		return { kind: 'APIGroupList', apiVersion: 'v1', groups };
	}
	if (path === '/api/v1') return resourcesOf('', 'v1');
	if (path === '/openapi/v3') {
		const names = [
			'api/v1',
			...new Set(KINDS.filter((k) => k.group !== '').map((k) => `apis/${k.group}/${k.version}`)),
		];
		return { paths: Object.fromEntries(names.map((name) => [name, { serverRelativeURL: `/openapi/v3/${name}` }])) };
	}
	const schema = /^\/openapi\/v3\/(?:api|apis\/([^/]+))\/([^/]+)$/.exec(path);
	if (schema) {
		const [, group = '', version = ''] = schema;
		const kinds = KINDS.filter((each) => each.group === group && each.version === version);
		return kinds.length === 0 ? undefined : openApi(kinds);
	}
	const group = /^\/apis\/([^/]+)$/.exec(path)?.[1];
	const versions = group === undefined ? undefined : groupVersions().get(group);
	if (group !== undefined && versions !== undefined)
		return { kind: 'APIGroup', apiVersion: 'v1', ...groupOf(group, versions) };
	const [, name, version] = /^\/apis\/([^/]+)\/([^/]+)$/.exec(path) ?? [];
	return name !== undefined && version !== undefined ? resourcesOf(name, version) : undefined;
}
