/**
 * Pods without faults, read without the schema of pod.ts: the same values, and lean ones. With policies every node holds the pods of
 * all nodes, most of which share their labels and ports with many others: such parts are one object.
 */
import { type Address, parseAddress } from './address.ts';
import * as plain from './plain.ts';
import type { NamedPort, Pod } from './pod.ts';

const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;
const NO_ADDRESSES: readonly Address[] = [];

const labelSets = new plain.Pool<Readonly<Record<string, string>>>();
const portLists = new plain.Pool<readonly NamedPort[]>();

/** Annotation by which the kubelet tells which pod from a file an object stands for. */
const MIRROR = 'kubernetes.io/config.mirror';

/**
 * The uid by which the kubelet, and so a runtime, knows a pod. A pod from a file (a static pod) has one of its own: its object in the API is a
 * mirror that the API server has given another.
 */
export function podUid({ uid, annotations }: { uid: string; annotations: Readonly<Record<string, string>> }): string {
	return annotations[MIRROR] || uid;
}

/** @throws OddObject when the schema has to be asked */
export function readPod(raw: unknown): Pod {
	const { metadata, spec: rawSpec, status: rawStatus } = plain.fields(raw);
	const { namespace, name, uid, labels, annotations } = plain.plainMeta(metadata);
	const spec = plain.optionalFields(rawSpec);
	const status = plain.optionalFields(rawStatus);
	const phase = plain.optionalText(status.phase);
	const namedPorts = [
		...portsOf(plain.items(spec.containers), false),
		...portsOf(plain.items(spec.initContainers), true),
	];
	return {
		namespace: plain.shared(namespace),
		name,
		uid: podUid({ uid, annotations }),
		labels: labelSets.share(JSON.stringify(labels), labels),
		node: plain.shared(plain.optionalText(spec.nodeName)),
		hostNetwork: plain.optionalFlag(spec.hostNetwork, false),
		addresses: addressesOf(status),
		finished: phase === 'Succeeded' || phase === 'Failed',
		...(namedPorts.length > 0 ? { namedPorts: portLists.share(JSON.stringify(namedPorts), namedPorts) } : {}),
	};
}

function addressesOf({ podIP, podIPs }: plain.Fields): readonly Address[] {
	const listed = plain.items(podIPs).map((entry) => addressOf(plain.text(plain.fields(entry).ip)));
	const single = plain.optionalText(podIP);
	const only = single === '' ? undefined : addressOf(single);
	if (listed.length > 0) return listed;
	return only === undefined ? NO_ADDRESSES : [only];
}

function addressOf(text: string): Address {
	const address = parseAddress(text);
	if (address === undefined) throw new plain.OddObject();
	return address;
}

/** Named ports of containers; of init containers only those that are restarted and so run beside the others. */
function portsOf(containers: readonly unknown[], init: boolean): NamedPort[] {
	const named: NamedPort[] = [];
	for (const container of containers) {
		const { ports, restartPolicy } = plain.fields(container);
		const runs = plain.optionalText(restartPolicy) === 'Always' || !init;
		for (const port of plain.items(ports)) {
			const { name: rawName, protocol: rawProtocol, containerPort } = plain.fields(port);
			const name = plain.optionalText(rawName);
			const protocol = plain.oneOf(rawProtocol, PROTOCOLS, 'TCP');
			const number = plain.integer(containerPort, 1, 65535);
			if (runs && name !== '') named.push({ name, protocol, port: number });
		}
	}
	return named;
}
