/**
 * Names of attachments, and what belongs to a pod's interface. Pure.
 */
import type { CgroupAttachType } from '../../native/index.ts';
import type { LinkTarget, TcTarget } from './links.ts';

/** A pod's host side veth. */
export interface EndpointAttachment {
	readonly ifindex: number;
	/** Unique and stable for the attachment: letters, digits, `_` and `-`. */
	readonly pinName: string;
}

export interface Attachment {
	readonly program: string;
	readonly target: LinkTarget;
}

export interface EndpointHook extends Attachment {
	readonly target: TcTarget;
}

/** Where the socket programs are attached; a program is `sock_` and the rest of the name. */
export const CGROUP_HOOKS = [
	'connect4',
	'connect6',
	'sendmsg4',
	'sendmsg6',
	'recvmsg4',
	'recvmsg6',
	'getpeername4',
	'getpeername6',
	'sock_release',
] as const satisfies readonly CgroupAttachType[];

/** Of the loopback device, in every network namespace. */
export const LOOPBACK_IFINDEX = 1;

const ENDPOINT_PREFIX = 'pod_';

export function isEndpoint(name: string): boolean {
	return name.startsWith(ENDPOINT_PREFIX);
}

/** Whether a name is that of an attachment to one of these uplinks. */
export function isLinkOf(name: string, uplinks: readonly number[]): boolean {
	return uplinks.some((ifindex) => name.startsWith(`uplink_${ifindex}_`));
}

export const XDP_SUFFIX = '_xdp';

/** Whether a name in a report is that of an XDP attachment. */
export function isXdpLink(name: string): boolean {
	return name.startsWith('uplink_') && name.endsWith(XDP_SUFFIX);
}

export function endpointAttachments({ ifindex, pinName }: EndpointAttachment): Map<string, EndpointHook> {
	return new Map([
		[`${ENDPOINT_PREFIX}${pinName}_out`, { program: 'to_pod', target: { kind: 'tc', ifindex, where: 'egress' } }],
		[`${ENDPOINT_PREFIX}${pinName}_in`, { program: 'from_pod', target: { kind: 'tc', ifindex, where: 'ingress' } }],
	]);
}
