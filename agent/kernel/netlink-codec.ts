/**
 * Framing of netlink: requests from header and payload, errors and records from replies. The codecs of the package
 * `netlink` do the structs. Its sockets are not used: they work in no other network namespace, have no filter, and are another addon.
 */

import { getSystemErrorMap } from 'node:util';
import {
	type AttrStream,
	formatHeader,
	parseAttributes,
	parseHeader,
	AttrStream as Stream,
} from 'netlink/dist/structs.js';
import { FairleadError } from '../model/errors.ts';

export const NETLINK_ROUTE = 0;

/** NLM_F_* of linux/netlink.h. */
export const NlFlag = {
	REQUEST: 0x1,
	ACK: 0x4,
	DUMP: 0x300,
	REPLACE: 0x100,
	EXCL: 0x200,
	CREATE: 0x400,
} as const;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;
export const HEADER_BYTES = 16;

/** One request, with what a person needs to read when the kernel refuses it. */
export interface NetlinkMessage {
	/** RTM_* */
	readonly type: number;
	readonly flags: number;
	readonly payload: Uint8Array;
	/** Verb and object: 'add route 10.1.0.5/32 dev fl0'. */
	readonly what: string;
	/** errno names that count as success, e.g. ['EEXIST']. */
	readonly tolerate?: readonly string[];
}

/** What the kernel said to one request. */
export interface NetlinkReply {
	/** errno name; undefined = accepted. */
	readonly code?: string;
	/** The kernel's own words about a refusal (extended acknowledgement), if it had any. */
	readonly text?: string;
	/** Payloads (without netlink header) of the records it sent. */
	readonly records: readonly Buffer[];
}

/** Builds a payload from attributes (and fixed headers, which come first). */
export function buildPayload(fill: (out: AttrStream) => void): Uint8Array {
	const out = new Stream();
	fill(out);
	return Buffer.concat(out.bufs);
}

/** Whole message with header; the sequence number only has to be unique in its socket. */
export function encodeMessage(message: NetlinkMessage, seq: number): Uint8Array {
	const header = formatHeader({
		length: HEADER_BYTES + message.payload.length,
		type: message.type,
		flags: message.flags,
		seq,
		port: 0,
	});
	return Buffer.concat([header, message.payload]);
}

/** Reads the raw messages that answer one request. */
export function decodeReply(raw: readonly Uint8Array[]): NetlinkReply {
	const records: Buffer[] = [];
	let refused: { code: string; text?: string } | undefined;
	for (const bytes of raw) {
		const message = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
		const header = parseHeader(message).x;
		const payload = message.subarray(HEADER_BYTES, header.length);
		if (header.type === NLMSG_ERROR || (header.type === NLMSG_DONE && payload.length >= 4)) {
			const errno = payload.readInt32LE(0);
			if (errno < 0) refused = { code: errnoName(errno), ...ackText(header.type, header.flags, payload) };
		} else if (header.type !== NLMSG_DONE) records.push(payload);
	}
	return { ...refused, records };
}

/** NLMSGERR_ATTR_MSG behind the error number and the request it repeats (only its header if NLM_F_CAPPED). */
function ackText(type: number, flags: number, payload: Buffer): { text?: string } {
	if ((flags & NLM_F_ACK_TLVS) === 0 || type !== NLMSG_ERROR || payload.length < 4 + HEADER_BYTES) return {};
	const repeated = (flags & NLM_F_CAPPED) !== 0 ? HEADER_BYTES : payload.readUInt32LE(4);
	const text = textOf(attributesOf(payload.subarray(4 + ((repeated + 3) & ~3))).get(NLMSGERR_ATTR_MSG));
	return text === undefined ? {} : { text };
}

/** The errno name in an NLMSG_ERROR. */
export function errorOf(message: Uint8Array): string {
	const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
	return errnoName(bytes.readInt32LE(HEADER_BYTES));
}

function errnoName(negative: number): string {
	return getSystemErrorMap().get(negative)?.[0] ?? `errno ${-negative}`;
}

/** @throws NETLINK_REFUSED for the first request that was refused and does not tolerate it */
export function requireAccepted(
	messages: readonly NetlinkMessage[],
	replies: readonly NetlinkReply[],
	netns?: string,
): void {
	for (const [i, message] of messages.entries()) {
		const reply = replies[i] ?? { code: 'EIO' };
		if (reply.code !== undefined && !message.tolerate?.includes(reply.code)) throw refusal(message, reply, netns);
	}
}

/** The error for a refused request; `errno` is among its fields. */
export function refusal(
	message: NetlinkMessage,
	reply: Pick<NetlinkReply, 'code' | 'text'>,
	netns?: string,
): FairleadError {
	const errno = reply.code ?? 'EIO';
	const where = netns === undefined ? '' : ` in ${netns}`;
	const why = reply.text === undefined ? errno : `${errno} (${reply.text})`;
	return new FairleadError('NETLINK_REFUSED', `cannot ${message.what}${where}: ${why}`, { errno });
}

/** Attributes by number, the last one winning; unknown ones are kept, so newer kernels cannot break the parse. */
export function attributesOf(bytes: Buffer): Map<number, Buffer> {
	const found = new Map<number, Buffer>();
	parseAttributes(bytes, (attribute) => found.set(attribute.type, attribute.data));
	return found;
}

/** Host-order u32 of an attribute. */
export function u32Of(bytes: Buffer | undefined): number | undefined {
	return bytes !== undefined && bytes.length >= 4 ? bytes.readUInt32LE(0) : undefined;
}

/** Text of a NUL-terminated attribute. */
export function textOf(bytes: Buffer | undefined): string | undefined {
	if (bytes === undefined) return undefined;
	const end = bytes.indexOf(0);
	return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
}
