/**
 * Which changes of interfaces, addresses and routes the node loop has to see to. Most notices repeat what is known (the kernel tells of
 * an interface again when a program is attached to it, and of an address whenever a router has announced its prefix), are about
 * interfaces that nobody uses, or tell of what this agent has just done. Knows what there is, changes nothing.
 */
import type { MachineNotice } from '../kernel/machine-notices.ts';
import { type AddressInfo, type LinkInfo, ROUTE_PROTOCOL_FAIRLEAD, type RouteInfo } from '../kernel/netlink.ts';
import type { Cidr } from '../model/address.ts';
import { DEVICE_NAMES } from './devices.ts';
import { isOurs } from './diff.ts';
import { ARPHRD_LOOPBACK, isDefaultRoute, SCOPE_GLOBAL } from './uplink.ts';

export interface MachineChangesOptions {
	/** Interfaces by name that are uplinks, or are to be. */
	readonly isUplink: (name: string) => boolean;
	/** There is to be a route of ours to this prefix. */
	readonly isPlanned: (dst: Cidr) => boolean;
	/** Names of interfaces of pods, which are not remembered. */
	readonly isPod: (name: string) => boolean;
}

interface KnownLink {
	readonly name: string;
	readonly up: boolean;
	readonly isLoopback: boolean;
	/** All that the agent reads of it, as text. */
	readonly text: string;
}

const OWN_DEVICES: readonly string[] = Object.values(DEVICE_NAMES);

export class MachineChanges {
	readonly #options: MachineChangesOptions;
	/** By interface index. */
	#links = new Map<number, KnownLink>();
	/** By interface index, of global scope: address → all that the agent reads of it. */
	#addresses = new Map<number, Map<string, string>>();

	constructor(options: MachineChangesOptions) {
		this.#options = options;
	}

	/** From now on this is what is known. */
	reset(links: readonly LinkInfo[], addresses: readonly AddressInfo[]): void {
		this.#links = new Map();
		this.#addresses = new Map();
		for (const link of links) if (!this.#options.isPod(link.name)) this.#links.set(link.ifindex, known(link));
		for (const address of addresses) this.#addressMatters(address, false);
	}

	/** @returns whether the node loop has to look */
	take(notices: readonly MachineNotice[]): boolean {
		let matters = false;
		for (const notice of notices) matters = this.#takeOne(notice, matters) || matters;
		return matters;
	}

	/** @param enough  it does not matter any more what a route means */
	#takeOne(notice: MachineNotice, enough: boolean): boolean {
		switch (notice.kind) {
			case 'link':
				return this.#linkMatters(notice.link, notice.gone);
			case 'address':
				return this.#addressMatters(notice.address, notice.gone);
			case 'route':
				return enough || this.#routeMatters(notice.route, notice.gone);
		}
	}

	#linkMatters(link: LinkInfo, gone: boolean): boolean {
		const before = this.#links.get(link.ifindex);
		const now = gone ? undefined : known(link);
		const hasAddresses = this.#addresses.has(link.ifindex);
		if (now !== undefined) this.#links.set(link.ifindex, now);
		else {
			this.#links.delete(link.ifindex);
			this.#addresses.delete(link.ifindex);
		}
		if (before?.text === now?.text) return false;
		if (OWN_DEVICES.includes(link.name)) return gone || before?.up === true;
		const { isUplink } = this.#options;
		return hasAddresses || isUplink(link.name) || (before !== undefined && isUplink(before.name));
	}

	#addressMatters({ ifindex, address, prefixLength, scope, secondary }: AddressInfo, gone: boolean): boolean {
		if (scope !== SCOPE_GLOBAL || this.#links.get(ifindex)?.isLoopback === true) return false;
		const there = this.#addresses.get(ifindex) ?? new Map<string, string>();
		const key = `${address}/${prefixLength}`;
		const text = secondary === true ? 'secondary' : 'first';
		const isSame = gone ? !there.has(key) : there.get(key) === text;
		if (gone) there.delete(key);
		else there.set(key, text);
		if (there.size > 0) this.#addresses.set(ifindex, there);
		else this.#addresses.delete(ifindex);
		return !isSame;
	}

	#routeMatters(route: RouteInfo, gone: boolean): boolean {
		if (route.protocol === ROUTE_PROTOCOL_FAIRLEAD) return gone && isOurs(route) && this.#options.isPlanned(route.dst);
		return isDefaultRoute(route);
	}
}

/** Carrier, counters and names for people are nothing to the agent. */
function known({ name, up, mtu, mac, kind, type, masterIfindex, peerIfindex }: LinkInfo): KnownLink {
	const text = [name, up, mtu, Buffer.from(mac).toString('hex'), kind, type, masterIfindex, peerIfindex].join(' ');
	return { name, up, isLoopback: type === ARPHRD_LOOPBACK, text };
}
