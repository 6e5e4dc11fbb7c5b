/**
 * Events about objects of the API that cannot be used as they are.
 */
import { clusterRef, type EventRecorder, namespacedRef, type ObjectRef } from '../model/event.ts';
import { isReporter } from './reporters.ts';

/** What a source says of an object. */
export interface ObjectFault {
	/** 'Service default/web' */
	readonly object: string;
	/** Field path; '' = not about the content of an object. */
	readonly path: string;
	readonly message: string;
	readonly keptLastGood: boolean;
}

const API_VERSIONS: Readonly<Record<string, string>> = {
	Service: 'v1',
	Pod: 'v1',
	Node: 'v1',
	Namespace: 'v1',
	EndpointSlice: 'discovery.k8s.io/v1',
	NetworkPolicy: 'networking.k8s.io/v1',
	ServiceCIDR: 'networking.k8s.io/v1',
	ClusterNetworkPolicy: 'policy.networking.k8s.io/v1alpha2',
};

export interface ObjectFaultsOptions {
	readonly events: EventRecorder;
	readonly nodeName: string;
	/** Names of all nodes. */
	readonly nodes: () => Iterable<string>;
}

export class ObjectFaults {
	readonly #options: ObjectFaultsOptions;
	#told = new Set<string>();

	constructor(options: ObjectFaultsOptions) {
		this.#options = options;
	}

	/** @param faults  all that there are now; each is told when it is new */
	update(faults: readonly ObjectFault[]): void {
		const { events, nodeName, nodes } = this.#options;
		const now = new Set<string>();
		for (const { object, path, message, keptLastGood } of faults) {
			const about = path === '' ? undefined : refOf(object);
			if (about === undefined) continue;
			const effect = keptLastGood ? 'its last good version stays in force' : 'it is left out';
			const text = `${path}: ${message}; ${effect}`;
			const key = `${object}\n${text}`;
			now.add(key);
			if (this.#told.has(key) || !isReporter(object, nodeName, nodes())) continue;
			events.event(about, 'Warning', 'InvalidObject', text);
		}
		this.#told = now;
	}
}

/** 'Service default/web' → its reference; undefined = no kind that is known. */
export function refOf(object: string): ObjectRef | undefined {
	const [kind = '', key = ''] = object.split(' ');
	const apiVersion = API_VERSIONS[kind];
	if (apiVersion === undefined || key === '') return undefined;
	return key.includes('/') ? namespacedRef(apiVersion, kind, key) : clusterRef(apiVersion, kind, key);
}
