/** Maps and operations as text in which nothing depends on history: no ids, indexes, bases or generations. */
import { addressOfBytes, familyOf, formatEndpoint } from '../../agent/model/address.ts';
import type { Kernel } from '../../agent/reconcile/kernel.ts';
import type { BackendWord, ServiceOp } from '../../agent/reconcile/services-ops.ts';
import { unpackPeer } from '../../agent/reconcile/services-peers.ts';
import {
	BackendFlagsName,
	CidrKey,
	IdentityName,
	IpcacheEntry,
	L4ProtoName,
	Node,
	NodeFlagsName,
	PeerKindName,
	SvcFlagsName,
	SvcScopeName,
} from '../../native/abi/generated.ts';
import { readBackend, readServices, readSources } from './service-maps.ts';

function formatKey(key: string): string {
	const [address = '', port, proto, scope] = key.split('|');
	const text = `${formatEndpoint(address, Number(port))}/${L4ProtoName(Number(proto))}`;
	return scope === undefined ? text : `${text} ${SvcScopeName(Number(scope))}`;
}

/** services, backends and vip_filter. Services with one id get one number, counted in the order of the text. */
export function dumpServices(kernel: Kernel): string[] {
	const { services, faults } = readServices(kernel);
	if (faults.length > 0) throw new Error(faults.join('\n'));
	const numbers = new Map<number, number>([[0, 0]]);
	const sources = readSources(kernel);
	const names = new Map<number, string>();
	const entries = services.map(({ key, entry, all, local, previous }) => {
		const id = numbers.get(entry.id) ?? numbers.size;
		numbers.set(entry.id, id);
		names.set(entry.id, `#${id}`);
		const flags = SvcFlagsName(entry.flags);
		const table = flags.includes('MAGLEV') ? `/${entry.allCount}` : '';
		const lists = [
			` all=[${distinct(all).map(formatKey).join(' ')}]${table}`,
			local.length > 0 || flags.includes('LOCAL') ? ` local=[${local.map(formatKey).join(' ')}]` : '',
			entry.prevCount > 0 ? ` previous=[${distinct(previous).map(formatKey).join(' ')}]/${entry.prevCount}` : '',
		];
		const affinity = entry.affinityTimeoutS > 0 ? ` affinity=${entry.affinityTimeoutS}s` : '';
		const from = entry.sourceSet > 0 ? ` from=[${(sources.get(entry.sourceSet) ?? ['missing']).join(' ')}]` : '';
		return `  ${formatKey(key)} #${id} ${flags}${affinity}${from}${flags === 'ADDRESS_ONLY' ? '' : lists.join('')}`;
	});
	const backends: string[] = [];
	for (let index = 0; index < kernel.mapCapacity('backends'); index++) {
		const row = readBackend(kernel, index);
		if (row.flags === 0) continue;
		const name = formatKey(`${addressOfBytes(row.addr)}|${row.port}|${row.proto}`);
		const peer = row.peer.kind === 0 ? '' : ` ${PeerKindName(row.peer.kind)}`;
		backends.push(`  ${names.get(row.svcId) ?? '#?'} ${name} ${BackendFlagsName(row.flags)}${peer}`);
	}
	let bits = 0;
	const filter = kernel.shared('vip_filter');
	for (let at = 0; at < filter.byteLength; at++) for (let b = filter.getUint8(at); b !== 0; b &= b - 1) bits++;
	return ['services', ...entries, 'backends', ...backends.sort(), `vip_filter: ${bits} bits`];
}

/** Backends of a Maglev table, each once. */
function distinct(keys: readonly string[]): string[] {
	return [...new Set(keys)].sort();
}

/** nodes, ipcache and cidrs; references by tunnel address. */
export function dumpPeers(kernel: Kernel): string[] {
	const tunnels = new Map<number, string>();
	const nodes: string[] = [];
	for (const [key, value] of kernel.mapEntries('nodes')) {
		const row = Node.decode(value);
		if (row.ifindex === 0) continue;
		const tunnel = addressOfBytes(row.tunnel);
		tunnels.set(new DataView(key.buffer).getUint32(0, true), tunnel);
		const next = [
			row.nexthop4 >>> 24,
			(row.nexthop4 >>> 16) & 255,
			(row.nexthop4 >>> 8) & 255,
			row.nexthop4 & 255,
		].join('.');
		const hops = row.nexthop4 === 0 ? '' : ` via ${next} ${addressOfBytes(row.nexthop6)}`;
		nodes.push(`  ${tunnel} ${NodeFlagsName(row.flags)} ifindex=${row.ifindex} mtu=${row.mtu}${hops}`);
	}
	const entry = (value: Uint8Array): string => {
		const { peer, identity } = IpcacheEntry.decode(value);
		const reference = peer.index === 0 ? '' : ` of ${tunnels.get(peer.index) ?? `missing row ${peer.index}`}`;
		return `${PeerKindName(peer.kind)}${reference} ${IdentityName(identity)}`;
	};
	const ipcache = [...kernel.mapEntries('ipcache')].map(([key, value]) => `  ${addressOfBytes(key)} ${entry(value)}`);
	const cidrs = [...kernel.mapEntries('cidrs')].map(([bytes, value]) => {
		const key = CidrKey.decode(bytes);
		const address = addressOfBytes(key.addr);
		return `  ${address}/${key.prefixLen - (familyOf(address) === 4 ? 96 : 0)} ${entry(value)}`;
	});
	return ['nodes', ...nodes.sort(), 'ipcache', ...ipcache.sort(), 'cidrs', ...cidrs.sort()];
}

/** One line per operation. */
export function formatServiceOps(ops: readonly ServiceOp[]): string[] {
	return ops.map(formatServiceOp);
}

function formatRow({ port, proto, flags }: Pick<BackendWord, 'port' | 'proto' | 'flags'>, address = ''): string {
	const name = address === '' ? '' : `${formatKey(`${address}|${port}|${proto}`)} `;
	return `${name}${BackendFlagsName(flags) || 'dead'}`;
}

function formatServiceOp(op: ServiceOp): string {
	switch (op.kind) {
		case 'filter-set':
		case 'filter-clear':
			return `${op.kind} bit ${op.bit}`;
		case 'backend-set':
			return `${op.kind} ${formatRow(op.backend, op.backend.address)}`;
		case 'backend-update':
		case 'backend-free':
			return `${op.kind} port ${op.row.port} ${formatRow(op.row)}`;
		case 'backend-peer':
			return `${op.kind} ${PeerKindName(unpackPeer(op.owner.peer).kind)}`;
		case 'source-set':
		case 'source-delete':
			return `${op.kind} ${op.cidr}`;
		case 'slots-set':
			return `${op.kind} ${op.indexes.length} slots of ${new Set(Array.from(op.indexes)).size} backends`;
		case 'xdp-clear':
		case 'xdp-set':
			return `${op.kind} row ${op.at}`;
		case 'external-ports':
			return `${op.kind} ${op.count}`;
		case 'service-set': {
			const { flags, allCount, localCount, prevCount, sourceSet } = op.entry;
			const previous = prevCount > 0 ? ` prev=${prevCount}` : '';
			const sources = sourceSet > 0 ? ' restricted' : '';
			const counts = `all=${allCount} local=${localCount}${previous}${sources}`;
			return `${op.kind} ${formatKey(op.key)} ${SvcFlagsName(flags)} ${counts}`;
		}
		case 'service-delete':
			return `${op.kind} ${formatKey(op.key)}`;
	}
}
