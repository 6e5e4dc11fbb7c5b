/** Work in other network namespaces. */
import { statSync } from 'node:fs';
import { addon } from './addon.ts';

export interface NetlinkTurn {
	/** Path of a network namespace, for example /run/netns/x or /proc/1/ns/net; default: this process's. */
	netns?: string;
	/** Whole requests with their headers, in host byte order. */
	messages: Uint8Array[];
	/** Sent on the same thread afterwards, over a socket of its own. Its replies follow the others. */
	next?: NetlinkTurn;
}

export interface NetlinkJob extends NetlinkTurn {
	/** 0 = NETLINK_ROUTE */
	protocol: number;
	/** For each answer; default 10 s, then NativeError ETIMEDOUT. */
	timeoutMs?: number;
}

/**
 * Sends the requests one after the other over one socket, on a worker thread; all sockets are open before the first
 * request is sent. JavaScript's thread stays in its
 * namespace, and the worker is back in it before it does anything else. A request with NLM_F_ACK or NLM_F_DUMP is answered by everything up to NLMSG_ERROR or NLMSG_DONE, one
 * without by its one reply. An NLMSG_ERROR with an error inside is a normal answer: the caller reads it, and the
 * requests after it are sent all the same. Extended acknowledgements and strict checking are on.
 * @returns per request its reply messages, headers included.
 */
export function netlinkRequest(job: NetlinkJob): Promise<Uint8Array[][]> {
	const turns: (string | undefined | Uint8Array[])[] = [];
	for (let turn: NetlinkTurn | undefined = job; turn !== undefined; turn = turn.next) {
		turns.push(turn.netns, turn.messages);
	}
	return addon.netlinkRequest(job.protocol, job.timeoutMs ?? 10_000, ...turns);
}

/** Opens a socket inside a network namespace. @returns its fd (close-on-exec); the caller owns it. */
export function openSocketInNetns(netns: string, domain: number, type: number, protocol: number): Promise<number> {
	return addon.socketInNetns(netns, domain, type, protocol);
}

/**
 * Makes a network namespace with nothing in it but a loopback device that is down. It ends with its last descriptor.
 * @returns a descriptor (close-on-exec), whose path is /proc/self/fd/FD; the caller owns it
 */
export function createNetns(): Promise<number> {
	return addon.netnsCreate();
}

/** The namespace's identity: equal for all paths of one namespace (nsfs inodes have 32 bits). */
export function netnsInode(path: string): number {
	return statSync(path).ino;
}
