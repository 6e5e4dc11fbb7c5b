/**
 * What the kernel tells of interfaces, addresses and routes as they change. Most of what happens on a node is pods that come and go: of
 * routes, only those are heard of that somebody else may be about, and of links of pods, nothing but their names is read.
 */
import { MessageType, MulticastGroups } from 'netlink/dist/rt/structs.js';
import { NetlinkListener } from '../../native/index.ts';
import {
	type AddressInfo,
	parseAddressInfo,
	parseRouteInfo,
	ROUTE_PROTOCOL_FAIRLEAD,
	type RouteInfo,
} from './netlink-addresses.ts';
import { errorOf, HEADER_BYTES, NETLINK_ROUTE } from './netlink-codec.ts';
import { type LinkInfo, linkName, parseLinkInfo } from './netlink-links.ts';

/** `gone`: as it was. */
export type MachineNotice =
	| { readonly kind: 'link'; readonly gone: boolean; readonly link: LinkInfo }
	| { readonly kind: 'address'; readonly gone: boolean; readonly address: AddressInfo }
	| { readonly kind: 'route'; readonly gone: boolean; readonly route: RouteInfo };

export interface ListenOptions {
	/** Path of a network namespace; left out = that of the process. */
	readonly netns?: string;
	/** Interfaces by name of which nothing is to be told. */
	readonly isPod: (ifname: string) => boolean;
	/**
	 * @param read        makes notices of messages, for who wants them
	 * @param isComplete  nothing was lost since the last time
	 */
	readonly onNotices: (read: () => readonly MachineNotice[], isComplete: boolean) => void;
	/** No notice comes any more. @param why  errno name */
	readonly onEnd: (why: string) => void;
}

const GROUPS = [
	MulticastGroups.LINK,
	MulticastGroups.IPV4_IFADDR,
	MulticastGroups.IPV6_IFADDR,
	MulticastGroups.IPV4_ROUTE,
	MulticastGroups.IPV6_ROUTE,
];
const NLMSG_ERROR = 2;
/** Pods that are made side by side cost one wake-up instead of dozens; somebody who makes a storm has what is lost looked up. */
const GATHER_MS = 20;
const STORM = { messages: 250, gatherMs: 500 };
/** What the removal of all pods of a node at once may cause. */
const MOST_QUEUED = 1024;

/** @throws NativeError such as EPERM */
export function listenToMachine(options: ListenOptions): { close(): void } {
	const { netns, isPod, onNotices, onEnd } = options;
	const socket = {
		...{ protocol: NETLINK_ROUTE, groups: GROUPS, filter: CHANGES_OF_THE_NODE, maxQueued: MOST_QUEUED },
		gatherMs: (messages: number) => (messages < STORM.messages ? GATHER_MS : STORM.gatherMs),
		...(netns !== undefined && { netns }),
	};
	return new NetlinkListener(socket, (messages, isComplete) => {
		onNotices(() => messages.flatMap((message) => noticeOf(message, isPod) ?? []), isComplete);
		const end = messages.find((message) => typeOf(message) === NLMSG_ERROR);
		if (end !== undefined) onEnd(errorOf(end));
	});
}

/** @returns undefined for what nothing is to be told of */
export function noticeOf(message: Uint8Array, isPod: ListenOptions['isPod']): MachineNotice | undefined {
	const type = typeOf(message);
	const record = Buffer.from(message.buffer, message.byteOffset, message.byteLength).subarray(HEADER_BYTES);
	switch (type) {
		case MessageType.NEWLINK:
		case MessageType.DELLINK:
			if (isPod(linkName(record))) return undefined;
			return { kind: 'link', gone: type === MessageType.DELLINK, link: parseLinkInfo(record) };
		case MessageType.NEWADDR:
		case MessageType.DELADDR:
			return { kind: 'address', gone: type === MessageType.DELADDR, address: parseAddressInfo(record) };
		case MessageType.NEWROUTE:
		case MessageType.DELROUTE:
			return { kind: 'route', gone: type === MessageType.DELROUTE, route: parseRouteInfo(record) };
		default:
			return undefined;
	}
}

function typeOf(message: Uint8Array): number {
	return (message[4] ?? 0) | ((message[5] ?? 0) << 8);
}

/** Classic BPF, which loads two bytes as if they came from a network. */
const LOAD_BYTE = 0x30;
const LOAD_HALF = 0x28;
const JUMP_IF_EQUAL = 0x15;
const RETURN = 0x06;
const ALL = 0xffff_ffff;
/** Offsets in messages. */
const AT = { type: 4, family: HEADER_BYTES, prefixLength: HEADER_BYTES + 1, routeProtocol: HEADER_BYTES + 5 };

/**
 * Which messages leave the kernel: default routes, routes of ours that go, addresses, and links, but not what bridges tell of their ports
 * (they have a family). A router with a full table, and routes of pods that come, cost nothing.
 */
const CHANGES_OF_THE_NODE = program([
	[LOAD_HALF, AT.type],
	[JUMP_IF_EQUAL, swapped(MessageType.NEWROUTE), 'route'],
	[JUMP_IF_EQUAL, swapped(MessageType.DELROUTE), 'route that goes'],
	[JUMP_IF_EQUAL, swapped(MessageType.NEWLINK), 'link'],
	[JUMP_IF_EQUAL, swapped(MessageType.DELLINK), 'link'],
	[RETURN, ALL],
	'link',
	[LOAD_BYTE, AT.family],
	[JUMP_IF_EQUAL, 0, 'heard'],
	[RETURN, 0],
	'route that goes',
	[LOAD_BYTE, AT.routeProtocol],
	[JUMP_IF_EQUAL, ROUTE_PROTOCOL_FAIRLEAD, 'heard'],
	'route',
	[LOAD_BYTE, AT.prefixLength],
	[JUMP_IF_EQUAL, 0, 'heard'],
	[RETURN, 0],
	'heard',
	[RETURN, ALL],
]);

type Instruction = readonly [code: number, k: number, then?: string];

/** struct sock_filter each. A text is a place to jump to. */
function program(lines: readonly (Instruction | string)[]): Uint8Array {
	const places = new Map<string, number>();
	const instructions: Instruction[] = [];
	for (const line of lines) {
		if (typeof line === 'string') places.set(line, instructions.length);
		else instructions.push(line);
	}
	const bytes = Buffer.alloc(instructions.length * 8);
	for (const [i, [code, k, then]] of instructions.entries()) {
		bytes.writeUInt16LE(code, i * 8);
		if (then !== undefined) bytes.writeUInt8((places.get(then) ?? 0) - i - 1, i * 8 + 2);
		bytes.writeUInt32LE(k, i * 8 + 4);
	}
	return bytes;
}

function swapped(type: number): number {
	return ((type & 0xff) << 8) | (type >> 8);
}
