/**
 * Start-up: which recorded attachments still exist, and what else is there that should not be.
 */

import type { LinkInfo, Netlink } from '../kernel/netlink.ts';
import { errorMessage, FairleadError } from '../model/errors.ts';
import { type Attachment, HOST_IFNAME, ownerOf } from './attachment.ts';
import type { EndpointDeps } from './endpoint-deps.ts';
import { type EndpointRows, UNKNOWN_POD } from './endpoint-rows.ts';
import { hostSide, REAP_GROUP } from './pod-wiring.ts';

export interface Adoption {
	readonly adopted: readonly { readonly attachment: Attachment; readonly ifindex: number }[];
	readonly dropped: readonly Attachment[];
	readonly problems: readonly FairleadError[];
}

/**
 * Takes over what still has its interface: rows written again if they differ, programs adopted, routes and
 * neighbours repeated. Traffic goes on meanwhile. One attachment that fails does not stop the others.
 */
export async function adoptAttachments(
	live: readonly Attachment[],
	deps: EndpointDeps,
	rows: EndpointRows,
): Promise<Adoption> {
	const links = new Map((await deps.netlink.links('veth')).map((link) => [link.name, link]));
	const adopted: { attachment: Attachment; ifindex: number }[] = [];
	const dropped: Attachment[] = [];
	const problems: FairleadError[] = [];
	for (const attachment of live) {
		const link = links.get(attachment.hostIfname);
		if (!isAlive(attachment, link, deps.bootId)) {
			dropped.push(attachment);
			continue;
		}
		rows.claim(attachment.index);
		adopted.push({ attachment, ifindex: link.ifindex });
		try {
			await adoptOne(attachment, link, deps, rows);
		} catch (cause) {
			const text = `cannot take over the attachment of ${ownerOf(attachment)}: ${errorMessage(cause)}`;
			problems.push(new FairleadError('ENDPOINT_CHANGED', text, { cause }));
		}
	}
	return { adopted, dropped, problems };
}

function isAlive(attachment: Attachment, link: LinkInfo | undefined, bootId: string): link is LinkInfo {
	return link !== undefined && link.group !== REAP_GROUP && attachment.bootId === bootId;
}

async function adoptOne(attachment: Attachment, link: LinkInfo, deps: EndpointDeps, rows: EndpointRows): Promise<void> {
	if (!rows.isWritten(attachment, link.ifindex)) rows.write(attachment, link.ifindex, UNKNOWN_POD);
	const { programs } = deps;
	await (programs.adopt
		? programs.adopt(link.ifindex, attachment.hostIfname)
		: programs.attach(link.ifindex, attachment.hostIfname));
	if (attachment.mode === 'veth') await deps.netlink.apply(hostSide(attachment, link.ifindex, deps.nodeAddress));
}

/** Interfaces with a name of ours that nobody knows. */
export async function findLeakedLinks(netlink: Netlink, known: ReadonlySet<string>): Promise<string[]> {
	const links = await netlink.links('veth');
	return links.map((link) => link.name).filter((name) => HOST_IFNAME.test(name) && !known.has(name));
}
