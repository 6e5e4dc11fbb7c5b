/**
 * CHECK: compares an attachment with what is in the kernel. Changes nothing; tolerates what others have added.
 */

import type { LinkInfo, Netlink } from '../kernel/netlink.ts';
import { type Address, familyOf } from '../model/address.ts';
import { FairleadError } from '../model/errors.ts';
import { formatMac, ownerOf } from './attachment.ts';
import type { CheckRequest, EndpointDeps } from './endpoint-deps.ts';
import type { LiveEndpoint } from './endpoint-manager.ts';
import type { EndpointRows } from './endpoint-rows.ts';
import { netnsKey, PodNetns } from './netns.ts';
import { DEFAULT_ROUTE, GATEWAY, hostPrefix } from './pod-wiring.ts';

const RT_TABLE_MAIN = 254;

/** @throws ENDPOINT_CHANGED naming every difference */
export async function checkAttachment(
	endpoint: LiveEndpoint,
	request: CheckRequest,
	deps: EndpointDeps,
	rows: EndpointRows,
): Promise<void> {
	const wrong: string[] = [];
	const netns = new PodNetns(request.netns, { allowOwn: request.allowOwnNetns === true });
	try {
		if (netnsKey(netns) !== netnsKey(endpoint.netns))
			wrong.push(`${request.netns} is not the namespace it was attached to`);
		wrong.push(...(await checkPodSide(endpoint, request.addresses, deps.netlink.in(netns.fdPath))));
	} finally {
		netns.close();
	}
	wrong.push(...(await checkHostSide(endpoint, deps)));
	if (!rows.isWritten(endpoint, endpoint.ifindex))
		wrong.push(`row ${endpoint.index} of the endpoint table is different`);
	if (wrong.length === 0) return;
	const text = `the attachment ${endpoint.ifname} of ${ownerOf(endpoint)} has changed: ${wrong.join('; ')}`;
	throw new FairleadError('ENDPOINT_CHANGED', text, { differences: wrong });
}

async function checkPodSide(endpoint: LiveEndpoint, expected: readonly Address[], netlink: Netlink): Promise<string[]> {
	const link = await netlink.link({ name: endpoint.ifname });
	if (link === undefined) return [`interface ${endpoint.ifname} is missing in the pod`];
	const wrong = linkProblems(link, endpoint.ifname);
	if (formatMac(link.mac) !== endpoint.mac)
		wrong.push(`${endpoint.ifname} has MAC ${formatMac(link.mac)}, not ${endpoint.mac}`);
	const present = new Set((await netlink.addresses()).filter((a) => a.ifindex === link.ifindex).map((a) => a.address));
	for (const address of new Set([...endpoint.addresses, ...expected])) {
		if (!present.has(address)) wrong.push(`address ${address} is missing on ${endpoint.ifname}`);
	}
	if (endpoint.mode === 'veth') wrong.push(...(await checkDefaultRoutes(endpoint, link, netlink)));
	return wrong;
}

async function checkDefaultRoutes(endpoint: LiveEndpoint, link: LinkInfo, netlink: Netlink): Promise<string[]> {
	const wrong: string[] = [];
	for (const family of endpoint.addresses.map(familyOf)) {
		const routes = await netlink.routes(family);
		const found = routes.some(
			(r) => r.dst === DEFAULT_ROUTE[family] && r.ifindex === link.ifindex && r.gateway === GATEWAY[family],
		);
		if (!found) wrong.push(`default route via ${GATEWAY[family]} is missing in the pod`);
	}
	return wrong;
}

async function checkHostSide(endpoint: LiveEndpoint, { netlink, programs }: EndpointDeps): Promise<string[]> {
	const link = await netlink.link({ name: endpoint.hostIfname });
	if (link?.ifindex !== endpoint.ifindex) return [`interface ${endpoint.hostIfname} is missing on the node`];
	const wrong = linkProblems(link, endpoint.hostIfname);
	for (const program of programs.missing(link.ifindex, endpoint.hostIfname))
		wrong.push(`program ${program} is not attached to ${endpoint.hostIfname}`);
	if (endpoint.mode === 'chained') return wrong;
	for (const address of endpoint.addresses) {
		const routes = await netlink.routes(familyOf(address));
		const found = routes.some(
			(r) => r.dst === hostPrefix(address) && r.ifindex === link.ifindex && r.table === RT_TABLE_MAIN,
		);
		if (!found) wrong.push(`route to ${address} is missing on the node`);
	}
	return wrong;
}

function linkProblems(link: LinkInfo, name: string): string[] {
	return link.up ? [] : [`interface ${name} is down`];
}
