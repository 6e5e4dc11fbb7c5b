/**
 * What an operator has to be told about an object, as `kubectl describe` and `kubectl get events` show it.
 */

/** The object that an Event is about. */
export interface ObjectRef {
	/** 'v1', 'networking.k8s.io/v1' */
	readonly apiVersion: string;
	readonly kind: string;
	/** '' = the object has none. */
	readonly namespace: string;
	readonly name: string;
	/** '' = not known; the recorder looks it up. */
	readonly uid: string;
}

/** `Warning`: a person should look at it. `Normal`: for the record. */
export type EventType = 'Normal' | 'Warning';

/**
 * Reasons of all Events, in one table: alerts match on these words, so none is renamed or used for anything else.
 * docs/node-lifecycle.md says what to do about each; a test keeps the two equal.
 */
export const EVENT_REASONS = {
	FairleadIsUp: 'the node serves pods: the self-test has passed',
	NoPodCIDR: 'the Node object has no pod CIDRs, without which the agent cannot begin',
	SelfTestFailed: 'the dataplane is not as it has to be, so no pods are taken',
	NodeWriteFailed: 'a condition or taint of the own Node cannot be changed',
	MapPressure: 'a BPF map is 70 % full',
	MapFull: 'Services find no room in a BPF map and are not served on this node',
	LinkRepaired: 'a program of ours was no longer attached and is again',
	DeviceRepaired: 'a device or a route of ours was gone and is there again',
	ForeignProgram: 'a program of somebody else runs on a hook of ours',
	CNIConfigRestored: 'the CNI executable or configuration was removed or changed and is there again',
	CNIConfigShadowed: 'the configuration of another CNI plugin comes before ours',
	AttachedByOtherPlugin: 'a pod of this node was not attached by Fairlead: it has no policy and may be unreachable',
	FailedToStartServiceHealthcheck: 'the health check port of a Service cannot be opened',
	InvalidObject: 'a field of the object has a value of the wrong form; it is not in force as it stands',
	NameHasManyAddresses: 'a name of a policy has more addresses than are kept, so lookups may not open all of them',
	PolicyNotEnforced: 'a policy cannot be enforced as written; what it selects is closed',
} as const;

export type EventReason = keyof typeof EVENT_REASONS;

/** Takes Events from anywhere in the agent. */
export interface EventRecorder {
	/**
	 * Notes an Event and returns at once, always: what is repeated is counted, what comes too often is left out, and what cannot
	 * be delivered is tried again in the background. Call it whenever the reason is met, not only the first time.
	 * @param message  for people, one line, without values that change each time: the same text is counted as the same event
	 */
	event(about: ObjectRef, type: EventType, reason: EventReason, message: string): void;
}

/** For whoever has nobody to tell. */
export const NO_EVENTS: EventRecorder = { event: () => undefined };

const CORE = 'v1';

/** Events about a node carry its name as uid, as the kubelet's do: `kubectl describe node` looks for both. */
export function nodeRef(name: string): ObjectRef {
	return { apiVersion: CORE, kind: 'Node', namespace: '', name, uid: name };
}

/** @param key  'namespace/name' */
export function serviceRef(key: string): ObjectRef {
	return namespacedRef(CORE, 'Service', key);
}

/** @param uid  '' = not known */
export function podRef(key: string, uid: string): ObjectRef {
	return { ...namespacedRef(CORE, 'Pod', key), uid };
}

/** An object of a kind with namespaces, by 'namespace/name'. */
export function namespacedRef(apiVersion: string, kind: string, key: string): ObjectRef {
	const at = key.indexOf('/');
	return { apiVersion, kind, namespace: key.slice(0, Math.max(at, 0)), name: key.slice(at + 1), uid: '' };
}

/** An object of a kind without namespaces. */
export function clusterRef(apiVersion: string, kind: string, name: string): ObjectRef {
	return { apiVersion, kind, namespace: '', name, uid: '' };
}

/** 'Service ns/name', 'Node n1' */
export function formatRef({ kind, namespace, name }: ObjectRef): string {
	return `${kind} ${namespace === '' ? name : `${namespace}/${name}`}`;
}
