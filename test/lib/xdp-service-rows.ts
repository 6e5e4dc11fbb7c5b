/** Rows of xdp_svc for the services of a fixture, as the agent makes them. */
import { maglevSize, maglevTable } from '../../agent/plan/maglev.ts';
import { rankableTags, rankedTable } from '../../agent/plan/rank.ts';
import { rankedRow, tableRow, xdpServiceHome, xdpServiceKey } from '../../agent/plan/xdp-services.ts';
import { settled } from '../../agent/reconcile/services-tables.ts';
import { type Union, unionOf } from '../../agent/reconcile/services-union.ts';
import { Backend, PeerKind, SvcEntry, XdpService } from '../../native/abi/generated.ts';
import { indexKey, type Rows } from './dataplane/rows.ts';
import type { Row, ServiceFixture } from './dataplane/types.ts';

const keysOf = ({ backends, proto }: Pick<ServiceFixture, 'backends' | 'proto'>): string[] =>
	backends.map(({ address, port }) => `${address}|${port}|${proto}`);

/** The table that every agent makes of a set under direct server return. */
export function dsrTable(service: Pick<ServiceFixture, 'backends' | 'proto'>): number[] {
	const keys = keysOf(service);
	const tags = rankableTags(keys);
	const size = maglevSize(keys.length);
	return Array.from(tags === undefined ? maglevTable(keys, size) : rankedTable(tags, size));
}

/** What a row has of each backend. @returns undefined = it cannot be ranked */
function membersOf(service: ServiceFixture): Union | undefined {
	const { table, previous, backends } = service;
	const keys = keysOf(service);
	if (table === undefined || previous === undefined) {
		return rankableTags(keys)?.map((tag, i) => ({ tag, address: backends[i]?.address }));
	}
	const known = backends.map(({ address }, at) => ({ key: keys[at] ?? '', address, row: at + 1 }));
	const [current, before] = [table, previous].map((each) => each.map((at) => at + 1));
	return unionOf({ ...settled(current ?? []), previous: before ?? [] }, known, []);
}

/** @param rows  of the services, which have tables of dsrTable() and are in order; the others get no row */
export function xdpServiceRows(services: readonly ServiceFixture[], rows: Rows): Row[] {
	const entries = (rows.services ?? []).map(({ value }) => SvcEntry.decode(value)).filter(({ id }) => id !== 0);
	const peers = (rows.backends ?? []).map(({ value }) => Backend.decode(value).peer);
	const made = new Map<number, Row>();
	let first = 0;
	for (const [n, service] of services.entries()) {
		const entry = entries[n];
		const own = peers.slice(first, first + service.backends.length);
		first += service.backends.length;
		if (entry === undefined || service.table === undefined) continue;
		const key = xdpServiceKey(service.address, service.port, service.proto);
		const members = membersOf(service);
		if (members === undefined && service.previous !== undefined) continue;
		const peerOf = new Map(own.map((peer, i) => [service.backends[i]?.address, peer]));
		const ranked = (members ?? []).map(({ tag, address }) => {
			const { kind = 0, index = 0, gen = 0 } = (address === undefined ? undefined : peerOf.get(address)) ?? {};
			return kind === PeerKind.REMOTE_POD ? { tag, node: index, gen } : { tag, node: 0, gen: 0 };
		});
		const row =
			members === undefined ? tableRow(key, entry.allBase, entry.allCount) : rankedRow(key, entry.allCount, ranked);
		let at = xdpServiceHome(key);
		while (made.has(at)) at++;
		const word = (BigInt(key.high) << 32n) | BigInt(key.low);
		const value = XdpService.encode({ ...row, key: word, check: key.check, backend: [...row.backend] });
		made.set(at, { key: indexKey(at), value });
	}
	return [...made.values()];
}
