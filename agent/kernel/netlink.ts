/**
 * rtnetlink for the agent: requests are built by netlink-links.ts and netlink-addresses.ts, sent together in one call
 * of the addon (one worker thread, one socket), optionally inside another network namespace.
 */
import type { Family } from '../model/address.ts';
import {
	type AddressInfo,
	dumpAddresses,
	dumpNeighbours,
	dumpRoutes,
	type NeighbourInfo,
	parseAddressInfo,
	parseNeighbourInfo,
	parseRouteInfo,
	type RouteInfo,
} from './netlink-addresses.ts';
import {
	decodeReply,
	encodeMessage,
	NETLINK_ROUTE,
	type NetlinkMessage,
	type NetlinkReply,
	requireAccepted,
} from './netlink-codec.ts';
import { dumpLinks, getLink, type LinkInfo, type LinkRef, parseLinkInfo } from './netlink-links.ts';

export * from './netlink-addresses.ts';
export { type NetlinkMessage, type NetlinkReply, refusal, requireAccepted } from './netlink-codec.ts';
export * from './netlink-links.ts';

/** `netlinkRequest` of native/index.ts. */
export type NetlinkRequest = (o: NetlinkTurn & { readonly protocol: number }) => Promise<Uint8Array[][]>;

interface NetlinkTurn {
	netns?: string;
	messages: Uint8Array[];
	next?: NetlinkTurn;
}

/** Messages and the namespace they are for. */
export interface NetlinkStep {
	readonly netlink: Netlink;
	readonly messages: readonly NetlinkMessage[];
}

/** rtnetlink of one network namespace. */
export class Netlink {
	readonly #request: NetlinkRequest;
	readonly #netns: string | undefined;

	/** @param o.netns  path of a network namespace; left out = that of the process */
	constructor(o: { readonly request: NetlinkRequest; readonly netns?: string }) {
		this.#request = o.request;
		this.#netns = o.netns;
	}

	/** The same for the namespace at `path` ('/run/netns/x', '/proc/self/fd/9'). */
	in(path: string): Netlink {
		return new Netlink({ request: this.#request, netns: path });
	}

	/**
	 * Sends the messages in order, each even if an earlier one was refused.
	 * @returns one reply per message, refusals included
	 * @throws NativeError when the namespace or the socket cannot be opened
	 */
	async send(messages: readonly NetlinkMessage[]): Promise<NetlinkReply[]> {
		if (messages.length === 0) return [];
		const raw = await this.#request({ ...this.#turn(messages), protocol: NETLINK_ROUTE });
		return raw.map(decodeReply);
	}

	#turn(messages: readonly NetlinkMessage[]): NetlinkTurn {
		return {
			...(this.#netns !== undefined && { netns: this.#netns }),
			messages: messages.map((message, i) => encodeMessage(message, i + 1)),
		};
	}

	/** As send(). @throws NETLINK_REFUSED for the first refusal that the message does not tolerate */
	async apply(messages: readonly NetlinkMessage[]): Promise<NetlinkReply[]> {
		const replies = await this.send(messages);
		requireAccepted(messages, replies, this.#netns);
		return replies;
	}

	/**
	 * Applies several steps in one call: each call wakes a thread and this one, which takes longer than a message. A step is taken even if
	 * one before was refused something.
	 * @throws NETLINK_REFUSED for the first refusal that its message does not tolerate
	 */
	async applyInTurn(steps: readonly NetlinkStep[]): Promise<void> {
		const turns = steps.map(({ netlink, messages }) => netlink.#turn(messages));
		const chain = turns.reduceRight<NetlinkTurn | undefined>(
			(next, turn) => ({ ...turn, ...(next && { next }) }),
			undefined,
		);
		if (chain === undefined) return;
		const replies = (await this.#request({ ...chain, protocol: NETLINK_ROUTE })).map(decodeReply);
		for (const { netlink, messages } of steps) {
			requireAccepted(messages, replies.splice(0, messages.length), netlink.#netns);
		}
	}

	/** @returns undefined when there is no such interface */
	async link(ref: LinkRef): Promise<LinkInfo | undefined> {
		const [reply] = await this.apply([{ ...getLink(ref), tolerate: ['ENODEV'] }]);
		const record = reply?.records[0];
		return record === undefined ? undefined : parseLinkInfo(record);
	}

	/** All interfaces, or those of one kind ('veth', 'vxlan'). */
	async links(kind?: string): Promise<LinkInfo[]> {
		const found = await this.#list(dumpLinks(kind), parseLinkInfo);
		return kind === undefined ? found : found.filter((link) => link.kind === kind);
	}

	async addresses(): Promise<AddressInfo[]> {
		return this.#list(dumpAddresses(), parseAddressInfo);
	}

	/** Routes of all tables; callers filter by table and protocol. */
	async routes(family: Family): Promise<RouteInfo[]> {
		return this.#list(dumpRoutes(family), parseRouteInfo);
	}

	async neighbours(family: Family): Promise<NeighbourInfo[]> {
		return this.#list(dumpNeighbours(family), parseNeighbourInfo);
	}

	async #list<T>(message: NetlinkMessage, parse: (record: Buffer) => T): Promise<T[]> {
		const [reply] = await this.apply([message]);
		return (reply?.records ?? []).map(parse);
	}
}
