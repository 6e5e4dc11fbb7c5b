/**
 * Puts datagrams together from their fragments, to look into them. Fragments that overlap never come here: the programs drop them.
 * Bounded in number and age; what does not fit is not learnt from.
 */
import type { Frame } from './frame.ts';

const MAX_DATAGRAMS = 256;
const MAX_AGE_MS = 10_000;
const LARGEST = 65535;

interface Pieces {
	readonly since: number;
	readonly pieces: Map<number, Buffer>;
	/** Bytes; undefined until the last fragment has come. */
	total: number | undefined;
	received: number;
}

export class Fragments {
	readonly #pending = new Map<string, Pieces>();

	/** @returns the whole from the transport header on, with the fragment that completes it; a packet that is whole at once */
	add({ source, destination, proto, fragment, segment }: Frame, nowMs: number): Buffer | undefined {
		if (fragment === null) return segment;
		const key = `${source} ${destination} ${proto} ${fragment.id}`;
		let found = this.#pending.get(key);
		if (found === undefined || nowMs - found.since > MAX_AGE_MS) {
			this.#pending.delete(key);
			const [oldest] = this.#pending.keys();
			if (this.#pending.size >= MAX_DATAGRAMS && oldest !== undefined) this.#pending.delete(oldest);
			found = { since: nowMs, pieces: new Map(), total: undefined, received: 0 };
			this.#pending.set(key, found);
		}
		const end = fragment.offset + segment.length;
		if (end > LARGEST || found.pieces.has(fragment.offset)) return undefined;
		// the frame is a view of memory that is shared with others of its batch
		found.pieces.set(fragment.offset, Buffer.from(segment));
		found.received += segment.length;
		if (!fragment.more) found.total = end;
		if (found.total === undefined || found.received < found.total) return undefined;
		this.#pending.delete(key);
		return joined(found.pieces, found.total);
	}
}

/** undefined = there are holes. */
function joined(pieces: ReadonlyMap<number, Buffer>, total: number): Buffer | undefined {
	const ordered = [...pieces].sort(([a], [b]) => a - b);
	let at = 0;
	for (const [offset, piece] of ordered) {
		if (offset !== at) return undefined;
		at += piece.length;
	}
	return at === total ? Buffer.concat(ordered.map(([, piece]) => piece)) : undefined;
}
