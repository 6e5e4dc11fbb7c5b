/** The service and peer maps as a simulated packet meets them: decoded once, looked up as the kernel would. */
import { addressBytes, addressOfBytes } from '../../agent/model/address.ts';
import type { Kernel } from '../../agent/reconcile/kernel.ts';
import { SHARED_STRIDE } from '../../agent/reconcile/kernel.ts';
import type { PeerRef } from '../../native/abi/generated.ts';
import {
	AffinityEntry,
	AffinityKey,
	Backend,
	CidrKey,
	Endpoint,
	EndpointFlags,
	IpcacheEntry,
	Node,
	PeerKind,
	RuntimeState,
	SourceKey,
	SvcEntry,
	SvcKey,
} from '../../native/abi/generated.ts';
import { filterBit } from './dataplane/rows.ts';

export interface AffinityRow {
	readonly backend: number;
	readonly generation: number;
	/** Jiffies. */
	readonly lastUsed: number;
}

interface Prefix {
	/** In bits of the 16 bytes. */
	readonly length: number;
	readonly address: bigint;
	readonly peer: PeerRef;
}

const ADDRESS_BITS = 128;

export class ServiceMaps {
	readonly #kernel: Kernel;
	readonly #services = new Map<string, SvcEntry>();
	readonly #backends = new Map<number, Backend>();
	readonly #ipcache = new Map<string, PeerRef>();
	readonly #cidrs: Prefix[] = [];
	readonly #sources = new Map<number, { length: number; address: bigint }[]>();
	/** Frontends at addresses of this node; 0 lets packets to the node pass without a look-up. */
	readonly externalPorts: number;

	constructor(kernel: Kernel) {
		this.#kernel = kernel;
		for (const [bytes, value] of kernel.mapEntries('services')) {
			const { addr, port, proto, scope } = SvcKey.decode(bytes);
			this.#services.set(`${addressOfBytes(addr)} ${port} ${proto} ${scope}`, SvcEntry.decode(value));
		}
		for (const [key, value] of kernel.mapEntries('ipcache')) {
			this.#ipcache.set(addressOfBytes(key), IpcacheEntry.decode(value).peer);
		}
		for (const [key, value] of kernel.mapEntries('cidrs')) {
			const { prefixLen, addr } = CidrKey.decode(key);
			this.#cidrs.push({ length: prefixLen, address: wide(addr), peer: IpcacheEntry.decode(value).peer });
		}
		this.#cidrs.sort((a, b) => b.length - a.length);
		for (const [key] of kernel.mapEntries('sources')) {
			const { prefixLen, set, addr } = SourceKey.decode(key);
			this.#sources.set(set, [...(this.#sources.get(set) ?? []), { length: prefixLen - 32, address: wide(addr) }]);
		}
		const runtime = kernel.mapGet('runtime', new Uint8Array(4));
		this.externalPorts = runtime === undefined ? 0 : RuntimeState.decode(runtime).externalPorts;
	}

	service(address: string, port: number, proto: number, scope: number): SvcEntry | undefined {
		return this.#services.get(`${address} ${port} ${proto} ${scope}`);
	}

	/** False = certainly no service's address. */
	mayBeService(address: string): boolean {
		const bit = filterBit(address);
		const word = this.#kernel.shared('vip_filter').getBigUint64((bit >>> 6) * SHARED_STRIDE.vip_filter, true);
		return ((word >> BigInt(bit & 63)) & 1n) === 1n;
	}

	/** Backend indexes of an extent. */
	slots(base: number, count: number): number[] {
		const view = this.#kernel.shared('slots');
		return Array.from({ length: count }, (_, i) => view.getUint32((base + i) * 4, true));
	}

	backend(index: number): Backend {
		const known = this.#backends.get(index);
		if (known !== undefined) return known;
		const view = this.#kernel.shared('backends');
		const bytes = new Uint8Array(view.buffer, view.byteOffset + index * SHARED_STRIDE.backends, Backend.size);
		const row = Backend.decode(bytes);
		this.#backends.set(index, row);
		return row;
	}

	/** The row in use of an address and port that belongs to this service port. */
	rowOf(svcId: number, address: string, port: number): number | undefined {
		for (let index = 1; index < this.#kernel.mapCapacity('backends'); index++) {
			const row = this.backend(index);
			if (row.svcId !== svcId || row.flags === 0) continue;
			if (row.port === port && addressOfBytes(row.addr) === address) return index;
		}
		return undefined;
	}

	/** Read anew at every call: programs write it. */
	affinity(client: string, svcId: number): AffinityRow | undefined {
		const value = this.#kernel.mapGet('affinity', AffinityKey.encode({ client: addressBytes(client), svcId }));
		return value && AffinityEntry.decode(value);
	}

	inSources(set: number, address: string): boolean {
		const bits = wide(addressBytes(address));
		return (this.#sources.get(set) ?? []).some((prefix) => contains(prefix, bits));
	}

	/** Who has an address: exact match, else the longest prefix, else the world. */
	peerOf(address: string): PeerRef {
		const exact = this.#ipcache.get(address);
		if (exact !== undefined) return exact;
		const bits = wide(addressBytes(address));
		const found = this.#cidrs.find((prefix) => contains(prefix, bits));
		return found?.peer ?? { index: 0, gen: 0, kind: PeerKind.WORLD };
	}

	/** Outer destination of what goes to a node in an envelope. */
	tunnelOf(peer: PeerRef): string {
		const row = this.#kernel.mapGet('nodes', new Uint8Array(new Uint32Array([peer.index]).buffer));
		if (row === undefined) throw new Error(`there is no node ${peer.index}`);
		return addressOfBytes(Node.decode(row).tunnel);
	}

	/** Does the reference still name the row it was made for, in a state that packets can use? */
	isAlive(peer: PeerRef): boolean {
		const key = new Uint8Array(new Uint32Array([peer.index]).buffer);
		if (peer.kind === PeerKind.LOCAL_POD) {
			const row = this.#kernel.mapGet('endpoints', key);
			if (row === undefined) return false;
			const { gen, flags, ifindex } = Endpoint.decode(row);
			return gen === peer.gen && ifindex !== 0 && (flags & EndpointFlags.READY) !== 0;
		}
		if (peer.kind === PeerKind.REMOTE_POD || peer.kind === PeerKind.REMOTE_NODE) {
			const row = this.#kernel.mapGet('nodes', key);
			if (row === undefined) return false;
			const { gen, ifindex } = Node.decode(row);
			return gen === peer.gen && ifindex !== 0;
		}
		return true;
	}
}

function wide(bytes: Uint8Array): bigint {
	const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
	return (view.getBigUint64(0) << 64n) | view.getBigUint64(8);
}

function contains(prefix: { readonly length: number; readonly address: bigint }, address: bigint): boolean {
	const shift = BigInt(ADDRESS_BITS - prefix.length);
	return prefix.address >> shift === address >> shift;
}
