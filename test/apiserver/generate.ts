/**
 * Many services with endpoints, as large as the objects of a real control plane are: managed fields, owner references and
 * selectors included, since clients have to read past them.
 */
import { endpointSliceObject, serviceObject } from '../lib/cluster/objects.ts';
import { findKind } from './kinds.ts';
import type { ApiObject, Storage } from './storage.ts';

const NODES = 100;

/** Address of endpoint number n: all distinct. */
export function endpointAddress(n: number): string {
	return `10.${128 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
}

export function serviceAddress(n: number): string {
	return `10.${96 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
}

function withControlPlaneFields(object: unknown, manager: string, uid: string): ApiObject {
	const { metadata, ...rest } = object as ApiObject;
	const fields = {
		'f:spec': { 'f:ports': { '.': {}, 'k:{"port":80,"protocol":"TCP"}': { '.': {}, 'f:name': {}, 'f:port': {} } } },
	};
	const time = '2026-01-01T00:00:00Z';
	const managedFields = [
		{
			manager,
			operation: 'Update',
			apiVersion: 'v1',
			time,
			fieldsType: 'FieldsV1',
			fieldsV1: { ...fields, 'f:metadata': { 'f:labels': { '.': {}, 'f:app': {} } } },
		},
	];
	return { ...rest, metadata: { ...metadata, creationTimestamp: time, uid, managedFields } };
}

/** @param slice  number of the service; @param ready  endpoints from this number on are not ready */
export function generatedSlice(service: number, endpoints: number, ready = endpoints): ApiObject {
	const spec = serviceSpec(service);
	const list = Array.from({ length: endpoints }, (_, i) => {
		const n = service * endpoints + i;
		return {
			name: `p${n}-7d9c5b8f6d-abcde`,
			nodeName: `node-${n % NODES}.example.internal`,
			addresses: { IPv4: endpointAddress(n) },
			ready: i < ready,
		};
	});
	return withControlPlaneFields(
		endpointSliceObject(spec, 'IPv4', list),
		'kube-controller-manager',
		`slice-uid-${service}`,
	);
}

function serviceSpec(n: number) {
	return {
		name: `svc-${n}`,
		clusterIPs: [serviceAddress(n)],
		ports: [{ name: 'http', port: 80, targetPort: 8080 }],
	};
}

/** Fills a storage with services svc-0 … and one slice each. */
export function generateCluster(storage: Storage, services: number, endpoints: number): void {
	const [service, slice] = [findKind('v1', 'Service'), findKind('discovery.k8s.io/v1', 'EndpointSlice')];
	if (service === undefined || slice === undefined) throw new Error('the kinds are not there');
	for (let n = 0; n < services; n++) {
		storage.create(
			service,
			withControlPlaneFields(serviceObject(serviceSpec(n)), 'kubectl-client-side-apply', `uid-${n}`),
		);
		storage.create(slice, generatedSlice(n, endpoints));
	}
}
