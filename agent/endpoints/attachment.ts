/**
 * An attachment: one interface of one container on this node, as the ledger remembers it. Plain values.
 */
import { hash, randomBytes } from 'node:crypto';
import * as z from 'zod';

/** Who an attachment is for, in the runtime's words. */
export interface AttachmentKey {
	readonly containerId: string;
	readonly ifname: string;
}

const hostPortSchema = z.object({
	/** Canonical address, or null = every address of the node. */
	hostAddress: z.string().nullable(),
	hostPort: z.number().int().min(1).max(65535),
	protocol: z.enum(['TCP', 'UDP', 'SCTP']),
	podPort: z.number().int().min(1).max(65535),
});

const podSchema = z.object({ namespace: z.string(), name: z.string(), uid: z.string() });

const mac = z.string().regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);

/** The record on disk, one JSON file each. */
export const attachmentSchema = z.object({
	version: z.literal(1),
	containerId: z.string().min(1),
	ifname: z.string().min(1),
	/** Name of the CNI network, for GC. */
	network: z.string(),
	/** `veth`: interface and addresses are ours. `chained`: they belong to a plugin before us. */
	mode: z.enum(['veth', 'chained']),
	/** Boot that made it; interfaces do not survive another one. */
	bootId: z.string(),
	netns: z.object({ path: z.string(), dev: z.number(), ino: z.number() }),
	pod: podSchema.nullable(),
	/** Row of endpoint_table, 1 … 4095, and its generation. */
	index: z.number().int().min(1).max(4095),
	gen: z.number().int().min(1).max(255),
	/** Canonical addresses, at most one per family, in order of preference. */
	addresses: z.array(z.string()).min(1).max(2),
	mac,
	hostMac: mac,
	hostIfname: z.string().min(1).max(15),
	/** Bytes. */
	mtu: z.number().int(),
	hostPorts: z.array(hostPortSchema),
	createdAtMs: z.number(),
});

export type Attachment = z.output<typeof attachmentSchema>;
export type PodRef = z.output<typeof podSchema>;
export type PortMapping = z.output<typeof hostPortSchema>;

/** Names of host side interfaces; whatever else has such a name and no record is a leak of ours. */
export const HOST_IFNAME = /^fl[0-9a-f]{11}$/;

/** 32 hexadecimal digits that stand for container and interface in file and interface names. */
export function attachmentId(key: AttachmentKey): string {
	return hash('sha256', `${key.containerId}/${key.ifname}`).slice(0, 32);
}

/** Name of the host side of the veth pair, 13 characters. */
export function hostIfnameOf(key: AttachmentKey): string {
	return `fl${attachmentId(key).slice(0, 11)}`;
}

/** 'namespace/name' of the pod, or the container id when the runtime named no pod. */
export function ownerOf(attachment: { readonly pod: PodRef | null; readonly containerId: string }): string {
	return attachment.pod === null ? attachment.containerId : `${attachment.pod.namespace}/${attachment.pod.name}`;
}

/** 'aa:bb:cc:dd:ee:ff' */
export function formatMac(bytes: Uint8Array): string {
	return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** Locally administered, unicast. */
export function newMac(random: (count: number) => Uint8Array = randomBytes): string {
	const bytes = Uint8Array.from(random(6));
	bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
	return formatMac(bytes);
}

/** 6 bytes of what formatMac() wrote. */
export function macBytes(text: string): Uint8Array {
	return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}
