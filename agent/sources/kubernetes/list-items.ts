/**
 * Bytes of a list as they arrive → its items one by one, each parsed as soon as it is complete, and at the end the list without
 * them. A chunk of 500 objects as one document would be several megabytes of objects at a time, which outlive the young generation and
 * are then collected with everything that stays.
 */

/** etcd refuses objects beyond 1.5 MiB. */
const LONGEST_ITEM = 16 * 1024 * 1024;

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_LIST = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
/** Of `items` in the list object. */
const ITEMS_DEPTH = 2;

export class ListItems {
	readonly #onItem: (item: unknown) => void;
	/** The list without its items, piece by piece. */
	#frame = '';
	/** Bytes of the item that is not complete yet, from earlier chunks. */
	#pending: Buffer[] = [];
	#pendingBytes = 0;
	#depth = 0;
	#inText = false;
	#escaped = false;
	/** Within `items`. */
	#inItems = false;

	/** @param onItem  what it throws ends the reading */
	constructor(onItem: (item: unknown) => void) {
		this.#onItem = onItem;
	}

	/** @throws SyntaxError when an item is no JSON, RangeError when it is absurdly long */
	push(chunk: Buffer): void {
		let [depth, inText, escaped] = [this.#depth, this.#inText, this.#escaped];
		const last = chunk.length - 1;
		let start = 0;
		for (let at = 0; at <= last; at++) {
			let byte = chunk[at];
			if (inText) {
				// most bytes are within texts
				while (byte !== QUOTE && byte !== BACKSLASH && !escaped && at < last) byte = chunk[++at];
				if (escaped) escaped = false;
				else if (byte === BACKSLASH) escaped = true;
				else if (byte === QUOTE) inText = false;
			} else if (byte === QUOTE) inText = true;
			else if (byte === OPEN_OBJECT || byte === OPEN_LIST) {
				depth++;
				if (depth === ITEMS_DEPTH && byte === OPEN_LIST && this.#beginItems(chunk, start, at)) start = at + 1;
			} else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) {
				depth--;
				if (this.#inItems && depth < ITEMS_DEPTH) {
					this.#endItem(chunk.subarray(start, at));
					this.#inItems = false;
					start = at;
				}
			} else if (byte === COMMA && this.#inItems && depth === ITEMS_DEPTH) {
				this.#endItem(chunk.subarray(start, at));
				start = at + 1;
			}
		}
		[this.#depth, this.#inText, this.#escaped] = [depth, inText, escaped];
		if (start < chunk.length) this.#keep(chunk.subarray(start));
	}

	/** The list with an empty `items`. @throws SyntaxError when it is no JSON or not complete */
	end(): unknown {
		if (this.#inItems) throw new SyntaxError('the list ends within its items');
		this.#frame += Buffer.concat(this.#pending.splice(0)).toString();
		return JSON.parse(this.#frame);
	}

	/** Whether the list that begins at `at` is that of the items. */
	#beginItems(chunk: Buffer, start: number, at: number): boolean {
		const before = Buffer.concat([...this.#pending, chunk.subarray(start, at)]).toString();
		if (!/"items"\s*:\s*$/.test(before)) return false;
		this.#frame += `${before}[`;
		this.#pending = [];
		this.#pendingBytes = 0;
		this.#inItems = true;
		return true;
	}

	#endItem(end: Buffer): void {
		const text = this.#pendingBytes === 0 ? end.toString() : Buffer.concat([...this.#pending, end]).toString();
		this.#pending = [];
		this.#pendingBytes = 0;
		// an empty list; two commas in a row are no JSON either, but nobody writes them
		if (text.trim() !== '') this.#onItem(JSON.parse(text));
	}

	#keep(rest: Buffer): void {
		this.#pending.push(rest);
		this.#pendingBytes += rest.length;
		if (this.#pendingBytes > LONGEST_ITEM)
			throw new RangeError(`an item of a list is longer than ${LONGEST_ITEM} bytes`);
	}
}
