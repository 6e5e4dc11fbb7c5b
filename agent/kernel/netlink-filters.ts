/**
 * Filters on the clsact qdisc of an interface: asking for them, reading the answer. Pure.
 */
import { attributesOf, type NetlinkMessage, NlFlag, textOf, u32Of } from './netlink-codec.ts';

/** One filter, of any kind. */
export interface FilterInfo {
	readonly ifindex: number;
	/** Lower runs first. */
	readonly priority: number;
	readonly handle: number;
	/** 'bpf', 'flower', 'matchall' … */
	readonly kind: string;
	/** Of the program of a bpf filter. */
	readonly programId?: number;
	/** What its owner called it; '' = nothing. */
	readonly name: string;
}

/** struct tcmsg, linux/rtnetlink.h */
const TCMSG_BYTES = 20;
const RTM_GETTFILTER = 46;
/** TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS or _EGRESS) */
const PARENT = { ingress: 0xffff_fff2, egress: 0xffff_fff3 } as const;
const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_BPF_NAME = 7;
const TCA_BPF_ID = 11;

/** A device without clsact answers with EINVAL: it has none. */
export function dumpFilters(ifindex: number, where: keyof typeof PARENT): NetlinkMessage {
	const payload = Buffer.alloc(TCMSG_BYTES);
	payload.writeInt32LE(ifindex, 4);
	payload.writeUInt32LE(PARENT[where], 12);
	return {
		type: RTM_GETTFILTER,
		flags: NlFlag.REQUEST | NlFlag.DUMP,
		payload,
		what: `list filters at ${where} of interface ${ifindex}`,
		tolerate: ['EINVAL', 'ENODEV', 'ENOENT', 'EOPNOTSUPP'],
	};
}

/** @returns undefined for the head of a list of filters, which is no filter */
export function parseFilterInfo(record: Buffer): FilterInfo | undefined {
	const attributes = attributesOf(record.subarray(TCMSG_BYTES));
	const handle = record.readUInt32LE(8);
	if (handle === 0) return undefined;
	const kind = textOf(attributes.get(TCA_KIND)) ?? '';
	const options = attributes.get(TCA_OPTIONS);
	const inside = kind === 'bpf' && options !== undefined ? attributesOf(options) : undefined;
	const programId = u32Of(inside?.get(TCA_BPF_ID));
	return {
		ifindex: record.readInt32LE(4),
		priority: record.readUInt32LE(16) >>> 16,
		handle,
		kind,
		...(programId !== undefined && { programId }),
		name: textOf(inside?.get(TCA_BPF_NAME)) ?? '',
	};
}
