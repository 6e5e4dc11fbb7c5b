/** Service ports → rows of xdp_svc: which of them have one, and the operations that make it so. */
import { PeerKind, SvcScope } from '../../native/abi/generated.ts';
import { rankableTags } from '../plan/rank.ts';
import type { Frontend } from '../plan/services.ts';
import type { XdpServiceRow } from '../plan/xdp-services.ts';
import { isServedByXdp, rankedRow, tableRow, xdpServiceKey } from '../plan/xdp-services.ts';
import type { ServiceOp } from './services-ops.ts';
import type { PackedPeer } from './services-peers.ts';
import { unpackPeer } from './services-peers.ts';
import type { PortState, ServicesState } from './services-state.ts';
import { moveXdpBackends, textOf, type XdpRowMemory } from './xdp-rows.ts';

/** How names of frontends that XDP may serve end. */
const EXTERNAL = `|${SvcScope.EXTERNAL}`;

type PeerOf = (address: string) => PackedPeer;

/** undefined = XDP shall look into the other maps: the set changes, or tc serves it. */
export function xdpRowOf(port: PortState, frontend: Frontend, peerOf: PeerOf): XdpServiceRow | undefined {
	const { plan, tables, external } = port;
	if (!plan.transitions || tables !== undefined || external.count === 0 || !isServedByXdp(frontend)) return undefined;
	const key = xdpServiceKey(frontend.address, frontend.port, frontend.proto);
	const tags = rankableTags(plan.external.map((backend) => backend.key));
	if (tags === undefined) return tableRow(key, external.base, external.count);
	const backends = plan.external.map(({ address }, i) => {
		const { kind, index, gen } = unpackPeer(peerOf(address));
		const remote = kind === PeerKind.REMOTE_POD;
		return { tag: tags[i] ?? 0, node: remote ? index : 0, gen: remote ? gen : 0 };
	});
	return rankedRow(key, external.count, backends);
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
	for (const name of touched) {
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
		const place = row && xdp.place(row.key);
		if (row !== undefined && place !== undefined) after.push({ kind: 'xdp-set', at: place, row });
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
