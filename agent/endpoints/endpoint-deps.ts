/**
 * What the endpoint manager is given. Everything that touches the machine comes in here, so tests can make it fail.
 */

import type { Netlink } from '../kernel/netlink.ts';
import type { Address, Cidr } from '../model/address.ts';
import type { FairleadError } from '../model/errors.ts';
import type { Kernel } from '../reconcile/kernel.ts';
import type { Attachment, AttachmentKey, PodRef, PortMapping } from './attachment.ts';
import type { EndpointIdentity } from './endpoint-rows.ts';
import type { Ledger } from './ledger.ts';
import type { NodeAddress } from './pod-wiring.ts';

/** The BPF programs of a pod's host side interface. */
export interface EndpointPrograms {
	/** Attaches or, if attached already, brings up to date. */
	attach(ifindex: number, hostIfname: string): void | Promise<void>;
	/**
	 * Called by start() instead of attach() for interfaces that are taken over. Left out = attach(). The agent swaps the
	 * programs of all of them together once its tables are complete, and does nothing here.
	 */
	adopt?(ifindex: number, hostIfname: string): void | Promise<void>;
	/** Asks the kernel. @returns names of the programs that do not run at the interface */
	missing(ifindex: number, hostIfname: string): readonly string[];
	/** Forgets the interface; it may be gone already. */
	detach(hostIfname: string): void | Promise<void>;
}

export interface EndpointLog {
	/** State changes. */
	info(fields: object, message: string): void;
	/** Degraded but healing: an undo or a clean-up that failed and will be tried again. */
	warn(fields: object, message: string): void;
}

export interface EndpointDeps {
	/** rtnetlink of the node's namespace. */
	readonly netlink: Netlink;
	readonly kernel: Kernel;
	readonly programs: EndpointPrograms;
	readonly ledger: Ledger;
	/** Writes a file below /proc/sys, seen from the node's namespace. */
	readonly writeSysctl: (path: string, value: string) => void;
	/** Number of the network namespace at a path, as BPF programs see it. Default: not known. */
	readonly netnsCookie?: (path: string) => Promise<bigint>;
	readonly podCidrs: readonly Cidr[];
	/** What the node has as source when it talks to its pods; an interface must have it. Default: what the kernel chooses. */
	readonly nodeAddress?: NodeAddress;
	/** MTU for new pods in bytes, from the node's plan. */
	readonly mtu: () => number;
	/** Largest aggregate of IPv4 segments that new pods send in one piece, in bytes. */
	readonly gsoIpv4MaxSize: () => number;
	readonly bootId: string;
	readonly coolDownMs: number;
	/** How long removal of an interface may wait for others (default 250). */
	readonly reapDelayMs?: number;
	/** Removes what the kernel still knows of addresses (conntrack); they are not reused before it has succeeded. */
	readonly forgetAddresses?: (addresses: readonly Address[]) => Promise<void>;
	/** How long released addresses wait for others before forgetAddresses is called (default 1000). */
	readonly forgetDelayMs?: number;
	/**
	 * Who a pod is for policy, with the addresses it is given. Called before the interface comes up; may wait for the pod to be known (bounded by the
	 * signal) and may refuse by throwing. Default: unknown pod.
	 */
	readonly identify?: (
		pod: PodRef | null,
		signal: AbortSignal,
		addresses: readonly Address[],
	) => Promise<EndpointIdentity>;
	readonly log: EndpointLog;
	/** Wall clock in milliseconds: cool-downs outlive the process. */
	readonly now?: () => number;
	/** Random bytes for MAC addresses. */
	readonly randomBytes?: (count: number) => Uint8Array;
}

export interface AttachRequest extends AttachmentKey {
	readonly network: string;
	/** Path of the pod's network namespace. */
	readonly netns: string;
	/** CNI_NETNS_OVERRIDE: the namespace may be the node's own. */
	readonly allowOwnNetns?: boolean;
	readonly pod: PodRef | null;
	readonly hostPorts: readonly PortMapping[];
	/** Given when another plugin has made the interface: its addresses. */
	readonly chained?: { readonly addresses: readonly Address[] };
	/** Deadline and loss of the caller. */
	readonly signal?: AbortSignal;
}

export interface CheckRequest extends AttachmentKey {
	readonly netns: string;
	readonly allowOwnNetns?: boolean;
	/** Addresses the result of ADD had on this interface. */
	readonly addresses: readonly Address[];
	readonly signal?: AbortSignal;
}

/** What start-up found and did. */
export interface AdoptReport {
	readonly adopted: number;
	/** Attachments of another boot, or whose interface is gone. */
	readonly dropped: readonly Attachment[];
	readonly leakedLinks: readonly string[];
	readonly erasedRows: number;
	readonly problems: readonly FairleadError[];
}

export interface GcReport {
	readonly removed: readonly Attachment[];
	readonly problems: readonly string[];
}
