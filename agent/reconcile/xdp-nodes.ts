/**
 * Rows of xdp_nodes: how XDP reaches other nodes. A row is trusted until its deadline, which is put off as long as its neighbour is
 * known; XDP leaves packets to tc, which asks the kernel, when the agent no longer does that.
 */
import { NodeFlags, XdpNode } from '../../native/abi/generated.ts';
import { addressOfBytes } from '../model/address.ts';
import type { XdpNodeRow, XdpTarget } from '../plan/xdp.ts';
import type { Kernel } from './kernel.ts';
import type { NodeRows } from './nodes.ts';

/** Time the agent may be away before XDP stops, in seconds; a gateway that changes its address meanwhile is out of reach for that long. */
export const XDP_TRUST_S = 30;

const UNUSED = new Uint8Array(XdpNode.size);

/** Nodes in use. */
export function xdpTargets(nodes: NodeRows): XdpTarget[] {
	const targets: XdpTarget[] = [];
	for (const [index, { ifindex, gen, tunnel, flags }] of nodes) {
		if (ifindex === 0) continue;
		targets.push({ index, gen, tunnel: addressOfBytes(tunnel), direct: (flags & NodeFlags.DIRECT) !== 0 });
	}
	return targets;
}

/** Writes rows and remembers them, so that a changed one is out of use before it gets its new content. */
export class XdpNodes {
	readonly #kernel: Kernel;
	/** Text of each row without its deadline, by index. */
	readonly #written = new Map<number, string>();

	/** Takes what an earlier agent wrote out of use only when it differs from what is wanted. */
	constructor(kernel: Kernel) {
		this.#kernel = kernel;
		for (const [key, value] of kernel.mapEntries('xdp_nodes')) {
			// nearly all rows, which decoding would take longer than reading
			if (Buffer.compare(value, UNUSED) === 0) continue;
			const row = XdpNode.decode(value);
			if (row.ifindex === 0) continue;
			this.#written.set(new DataView(key.buffer, key.byteOffset).getUint32(0, true), identityOf(row));
		}
	}

	/**
	 * Makes the map hold these rows and no others.
	 * @param deadline  low 32 bits of jiffies
	 * @returns whether something besides deadlines changed
	 */
	apply(rows: readonly XdpNodeRow[], deadline: number): boolean {
		const wanted = new Map(rows.map(({ index, ...row }) => [index, { ...row, deadline }]));
		const stale = [...this.#written].filter(([index, text]) => {
			const row = wanted.get(index);
			return row === undefined || identityOf(row) !== text;
		});
		for (const [index] of stale) {
			this.#kernel.mapSet('xdp_nodes', keyOf(index), new Uint8Array(XdpNode.size));
			this.#written.delete(index);
		}
		if (stale.length > 0) this.#kernel.barrier();
		let added = 0;
		for (const [index, row] of wanted) {
			if (!this.#written.has(index)) added++;
			this.#kernel.mapSet('xdp_nodes', keyOf(index), XdpNode.encode(row));
			this.#written.set(index, identityOf(row));
		}
		return stale.length + added > 0;
	}
}

function identityOf(row: XdpNode): string {
	return Buffer.from(XdpNode.encode({ ...row, deadline: 0 })).toString('latin1');
}

function keyOf(index: number): Uint8Array {
	const key = new Uint8Array(4);
	new DataView(key.buffer).setUint32(0, index, true);
	return key;
}
