/**
 * The steps of an attachment that change interfaces.
 */

import { deleteLink, getLink, type LinkInfo, type Netlink, parseLinkInfo, refusal } from '../kernel/netlink.ts';
import { type Family, familyOf } from '../model/address.ts';
import { FairleadError } from '../model/errors.ts';
import { type Attachment, formatMac, ownerOf } from './attachment.ts';
import type { AttachRequest, EndpointDeps } from './endpoint-deps.ts';
import type { PodNetns } from './netns.ts';
import { hostSide, hostSysctls, podSide, vethPair } from './pod-wiring.ts';
import type { UndoStack } from './undo-stack.ts';

/** Both sides of a pod's interface. */
export interface PodLink {
	readonly hostIfindex: number;
	readonly hostIfname: string;
	/** In the pod's namespace. */
	readonly podIfindex: number;
	readonly mac: string;
	readonly hostMac: string;
	/** Bytes. */
	readonly mtu: number;
}

/** Makes the veth pair, its peer inside the pod's namespace under its final name. @throws ENDPOINT_EXISTS */
export async function makePair(
	attachment: Attachment,
	netns: PodNetns,
	{ netlink, gsoIpv4MaxSize }: Pick<EndpointDeps, 'netlink' | 'gsoIpv4MaxSize'>,
	undo: UndoStack,
): Promise<PodLink> {
	const { hostIfname } = attachment;
	const create = vethPair(attachment, netns.fd, gsoIpv4MaxSize());
	const messages = [create, getLink({ name: hostIfname })];
	let made = true; // until the kernel has said that it was not
	undo.push(`remove veth ${hostIfname}`, async () => {
		if (made) await netlink.apply([{ ...deleteLink({ name: hostIfname }), tolerate: ['ENODEV'] }]);
	});
	let [created, found] = await netlink.send(messages);
	if (created?.code === 'EEXIST' && found?.code === undefined) {
		// The host side's name is ours alone: left over by an agent that died. The pod's name may be anybody's.
		await netlink.apply([{ ...deleteLink({ name: hostIfname }), tolerate: ['ENODEV'] }]);
		[created, found] = await netlink.send(messages);
	}
	made = created?.code === undefined;
	if (created?.code === 'EEXIST') {
		const text = `cannot attach ${ownerOf(attachment)}: ${netns.path} already has an interface ${attachment.ifname}`;
		throw new FairleadError('ENDPOINT_EXISTS', text);
	}
	if (created?.code !== undefined) throw refusal(create, created);
	const record = found?.records[0];
	if (record === undefined) throw refusal(getLink({ name: hostIfname }), found ?? {});
	return podLinkOf(parseLinkInfo(record), attachment.mac);
}

function podLinkOf(host: LinkInfo, mac: string): PodLink {
	return {
		hostIfindex: host.ifindex,
		hostIfname: host.name,
		podIfindex: host.peerIfindex ?? 0,
		mac,
		hostMac: formatMac(host.mac),
		mtu: host.mtu,
	};
}

/**
 * Addresses, neighbours and routes of both sides, and up. Settings that wait for no lock are made at once.
 * @returns does the rest; the rows of the maps and the programs must be there by then
 */
export async function prepareWiring(
	attachment: Attachment,
	link: PodLink,
	netns: PodNetns,
	deps: Pick<EndpointDeps, 'netlink' | 'writeSysctl' | 'nodeAddress'>,
): Promise<() => Promise<void>> {
	const families: Family[] = attachment.addresses.map(familyOf);
	const { free, locking } = hostSysctls(attachment.hostIfname, families);
	for (const [path, value] of free) deps.writeSysctl(path, value);
	const { netlink } = deps;
	// The node's side first: the side that comes up last can send at once, the other one only when the kernel's link
	// watcher has run. The pod must be able to send when ADD has returned. So must the node: since 6.8 the kernel runs the
	// watcher for a link before it answers what its state is.
	const steps = [
		{ netlink, messages: hostSide(attachment, link.hostIfindex, deps.nodeAddress) },
		{ netlink: netlink.in(netns.fdPath), messages: podSide(attachment, link.podIfindex) },
		{ netlink, messages: [getLink({ ifindex: link.hostIfindex })] },
	];
	return async () => {
		for (const [path, value] of locking) deps.writeSysctl(path, value);
		await netlink.applyInTurn(steps);
	};
}

/**
 * The interface that a previous plugin has made, with its other side on this node.
 * @throws CHAIN_UNSUPPORTED when it is missing or has no veth peer here
 */
export async function findChainedLink(request: AttachRequest, netns: PodNetns, netlink: Netlink): Promise<PodLink> {
	const inPod = await netlink.in(netns.fdPath).link({ name: request.ifname });
	if (inPod === undefined) throw unsupported(request, `there is no interface ${request.ifname} in ${netns.path}`);
	if (inPod.kind !== 'veth' || inPod.peerIfindex === undefined) {
		const kind = inPod.kind === '' ? 'no virtual interface' : `of kind ${inPod.kind}`;
		throw unsupported(request, `${request.ifname} is ${kind}; only veth pairs with one side on the node can be served`);
	}
	const host = await netlink.link({ ifindex: inPod.peerIfindex });
	if (host?.kind !== 'veth' || host.peerIfindex !== inPod.ifindex) {
		throw unsupported(request, `the other side of ${request.ifname} is not in the network namespace of the node`);
	}
	return podLinkOf(host, formatMac(inPod.mac));
}

function unsupported(request: AttachRequest, why: string): FairleadError {
	return new FairleadError('CHAIN_UNSUPPORTED', `cannot attach ${ownerOf(request)} behind another plugin: ${why}`);
}
