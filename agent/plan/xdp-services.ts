/** Rows of xdp_svc: how XDP finds a service (bpf/lib/xdp_service.h computes the same keys). Pure. */
import {
	L4Proto,
	SvcFlags,
	SvcScope,
	XdpBackendBits,
	XdpServiceKind,
	XdpServiceLimits,
} from '../../native/abi/generated.ts';
import type { Address } from '../model/address.ts';
import { addressBytes, familyOf } from '../model/address.ts';
import type { Frontend } from './services.ts';
import { ANYBODY } from './services-sources.ts';

/** Key of a row in the 32-bit halves of its first two words. */
export interface XdpServiceKey {
	readonly high: number;
	readonly low: number;
	readonly check: number;
}

export interface XdpServiceRow {
	readonly key: XdpServiceKey;
	/** enum xdp_service_kind */
	readonly kind: number;
	readonly slots: number;
	/** XDP_SERVICE_BACKENDS numbers. */
	readonly backend: readonly number[];
}

const MASK = (1n << 64n) - 1n;

export function xdpServiceKey(address: Address, port: number, proto: number): XdpServiceKey {
	const view = new DataView(addressBytes(address).buffer);
	const family = familyOf(address);
	const low = ((((port & 0xff) << 24) | ((port >>> 8) << 16) | (proto << 8) | family) >>> 0) as number;
	if (family === 4) return { high: view.getUint32(12, true), low, check: 0 };
	let hash = view.getBigUint64(0, true) * 0x9e3779b97f4a7c15n + view.getBigUint64(8, true) * 0xc2b2ae3d27d4eb4fn;
	hash &= MASK;
	hash = ((hash ^ (hash >> 32n)) * 0xc4ceb9fe1a85ec53n) & MASK;
	return { high: Number(hash >> 32n), low, check: Number(hash & 0xffffffffn) };
}

/** First of the positions that a row may have. */
export function xdpServiceHome({ high, low }: Pick<XdpServiceKey, 'high' | 'low'>): number {
	return ((Math.imul(high, 0x9e3779b1) + Math.imul(low, 0x85ebca6b)) >>> 0) >>> 16;
}

const UNSERVED =
	SvcFlags.ADDRESS_ONLY | SvcFlags.LOCAL_EXTERNAL | SvcFlags.AFFINITY | SvcFlags.HOST_PORT | SvcFlags.TRACKED;

/** Does a hash alone decide about packets to it (dsr_is_served), and does XDP read them? */
export function isServedByXdp({ scope, proto, flags, sources }: Frontend): boolean {
	return (
		scope === SvcScope.EXTERNAL &&
		(proto === L4Proto.TCP || proto === L4Proto.UDP) &&
		(flags & (SvcFlags.MAGLEV | UNSERVED)) === SvcFlags.MAGLEV &&
		sources === ANYBODY
	);
}

/** One backend of a ranked set. */
export interface RankedBackend {
	readonly tag: number;
	/** Row of xdp_nodes; 0 = not another node's, or not known. */
	readonly node: number;
	readonly gen: number;
}

export function rankedRow(key: XdpServiceKey, slots: number, backends: readonly RankedBackend[]): XdpServiceRow {
	const words = backends.map(backendWord);
	const backend = Array.from({ length: XdpServiceLimits.BACKENDS }, (_, i) => words[i % words.length] ?? 0);
	return { key, kind: XdpServiceKind.RANKED, slots, backend };
}

function backendWord({ tag, node, gen }: RankedBackend): number {
	const low = gen & ((1 << XdpBackendBits.GEN_BITS) - 1);
	const reference = (node << XdpBackendBits.GEN_BITS) | low;
	return ((reference << XdpBackendBits.TAG_BITS) | tag) >>> 0;
}

/** A set that is too large to be ranked. @param base  of its table in `slots` */
export function tableRow(key: XdpServiceKey, base: number, count: number): XdpServiceRow {
	const backend = Array.from({ length: XdpServiceLimits.BACKENDS }, (_, i) => [base, count][i] ?? 0);
	return { key, kind: XdpServiceKind.TABLE, slots: 0, backend };
}
