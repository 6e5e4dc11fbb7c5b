/** Service ports → rows of xdp_svc: which of them have one, and the operations that make it so. */
import { PeerKind, SvcScope } from '../../native/abi/generated.ts';
import { rankableTags } from '../plan/rank.ts';
import type { DesiredPort, Frontend } from '../plan/services.ts';
import type { RankedBackend, XdpServiceRow } from '../plan/xdp-services.ts';
import { isServedByXdp, rankedRow, tableRow, xdpServiceKey } from '../plan/xdp-services.ts';
import type { ServiceOp } from './services-ops.ts';
import type { PackedPeer } from './services-peers.ts';
import { UNKNOWN_PEER, unpackPeer } from './services-peers.ts';
import type { PortState, ServicesState } from './services-state.ts';
import type { Union, UnionMember } from './services-union.ts';
import { unionOf } from './services-union.ts';
import { moveXdpBackends, textOf, type XdpRowMemory } from './xdp-rows.ts';

/** How names of frontends that XDP may serve end. */
const EXTERNAL = `|${SvcScope.EXTERNAL}`;

type PeerOf = (address: string) => PackedPeer;

/** What rows can say of a port's tables. @returns undefined = the set does not change, or XDP has to look into the tables */
export function unionOfPort(state: ServicesState, port: PortState): Union | undefined {
	const { plan, rows, tables } = port;
	if (tables === undefined) return undefined;
	const backends = plan.serving.map(({ key, address }, i) => ({ key, address, row: rows[i] ?? 0 }));
	return unionOf(tables, backends, formerTags(state, port));
}

/** Of the port's last row: known, or found in the kernel. */
function formerTags({ xdp }: ServicesState, { union, plan }: PortState): readonly number[] {
	if (union !== undefined) return union.map(({ tag }) => tag);
	for (const { address, port, proto } of plan.frontends.filter(isServedByXdp)) {
		const tags = xdp.tagsOf(xdpServiceKey(address, port, proto));
		if (tags.length > 0) return tags;
	}
	return [];
}

/** undefined = XDP shall look into the other maps: tables of a change agree nowhere, or tc serves it. */
export function xdpRowOf(port: PortState, frontend: Frontend, peerOf: PeerOf): XdpServiceRow | undefined {
	const { plan, tables, external } = port;
	if (!plan.transitions || external.count === 0 || !isServedByXdp(frontend)) return undefined;
	const key = xdpServiceKey(frontend.address, frontend.port, frontend.proto);
	const members = tables === undefined ? membersAtRest(plan) : port.union;
	if (members === undefined) return tables === undefined ? tableRow(key, external.base, external.count) : undefined;
	const backends = members.map((member) => rankedBackend(member, peerOf));
	return rankedRow(key, external.count, backends);
}

/** undefined = the set is too large to be ranked. */
function membersAtRest({ external }: DesiredPort): Union | undefined {
	const tags = rankableTags(external.map(({ key }) => key));
	return tags && external.map(({ address }, i) => ({ tag: tags[i] ?? 0, address }));
}

function rankedBackend({ tag, address }: UnionMember, peerOf: PeerOf): RankedBackend {
	const { kind, index, gen } = unpackPeer(address === undefined ? UNKNOWN_PEER : peerOf(address));
	return kind === PeerKind.REMOTE_POD ? { tag, node: index, gen } : { tag, node: 0, gen: 0 };
}

export interface XdpOps {
	/** Rows that are not true any more. */
	readonly before: readonly ServiceOp[];
	readonly after: readonly ServiceOp[];
}

/**
 * @param touched  frontend keys whose row may have to change; `state` is what the entries will be
 * @param full     rows of nobody are taken out
 */
export function diffXdpRows(state: ServicesState, touched: ReadonlySet<string>, peerOf: PeerOf, full: boolean): XdpOps {
	const { xdp } = state;
	const before: ServiceOp[] = [];
	const after: ServiceOp[] = [];
	const kept = new Set<string>();
	const names = xdp.waiting.size === 0 ? touched : new Set([...touched, ...xdp.waiting]);
	for (const name of names) {
		xdp.waiting.delete(name);
		if (!name.endsWith(EXTERNAL)) continue;
		const claim = state.entries.has(name) ? state.claims.get(name)?.[0] : undefined;
		const row = claim && xdpRowOf(claim.port, claim.frontend, peerOf);
		if (row === undefined && xdp.used === 0) continue;
		const key = row?.key ?? keyOfName(name);
		const at = xdp.positionOf(key);
		if (row !== undefined) kept.add(textOf(key));
		if (row !== undefined && at !== undefined && xdp.holds(at, row)) continue;
		if (at !== undefined) {
			xdp.remove(key);
			before.push({ kind: 'xdp-clear', at });
		}
		if (row === undefined) continue;
		const place = xdp.place(row.key);
		if (place !== undefined) after.push({ kind: 'xdp-set', at: place, row });
		else if (xdp.mayBePlaced(row.key)) xdp.waiting.add(name);
	}
	if (full) for (const at of xdp.removeOthers(kept)) before.push({ kind: 'xdp-clear', at });
	return { before, after };
}

function keyOfName(name: string) {
	const [address = '', port, proto] = name.split('|');
	return xdpServiceKey(address, Number(port), Number(proto));
}

/** Backends of these service ports are on other nodes than before. */
export function moveXdpRows(
	state: ServicesState,
	memory: XdpRowMemory,
	svcIds: ReadonlySet<number>,
	peerOf: PeerOf,
): void {
	if (state.xdp.used === 0 || svcIds.size === 0) return;
	for (const port of state.ports.values()) {
		if (!svcIds.has(port.id)) continue;
		for (const frontend of port.plan.frontends) {
			if (state.claims.get(frontend.key)?.[0]?.port !== port) continue;
			const row = xdpRowOf(port, frontend, peerOf);
			const at = row && state.xdp.positionOf(row.key);
			if (row !== undefined && at !== undefined) moveXdpBackends(memory, at, row);
		}
	}
}
