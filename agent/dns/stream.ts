/**
 * One direction of a TCP connection that carries DNS messages (RFC 1035 section 4.2.2: two bytes of length, then the message). Bytes
 * that came first count, as they do for the receiver, who gets every segment after it has been looked at here.
 */

/** What is further ahead than any window is somebody else's. */
const MAX_AHEAD = 1 << 20;

export class DnsStream {
	/** Number of the next byte. */
	#next: number;
	/** Received before their turn, by number. */
	readonly #early = new Map<number, Buffer>();
	#earlyBytes = 0;
	#rest: Buffer = Buffer.alloc(0);
	#lost = false;
	readonly #maxWaiting: number;

	/**
	 * @param first       number of the first byte of the stream
	 * @param maxWaiting  bytes that may wait for others; a stream with more is not followed any further
	 */
	constructor(first: number, maxWaiting: number) {
		this.#next = first >>> 0;
		this.#maxWaiting = maxWaiting;
	}

	/** True when it cannot be followed any more. */
	get isLost(): boolean {
		return this.#lost;
	}

	/** @returns the messages that are complete with these bytes, in order */
	add(sequence: number, bytes: Buffer): Buffer[] {
		if (this.#lost || bytes.length === 0) return [];
		this.#keep(sequence >>> 0, bytes);
		const messages: Buffer[] = [];
		for (let next = this.#takeNext(); next !== undefined; next = this.#takeNext()) {
			this.#rest = this.#rest.length === 0 ? next : Buffer.concat([this.#rest, next]);
			this.#split(messages);
		}
		if (this.#earlyBytes + this.#rest.length > this.#maxWaiting) this.#giveUp();
		return messages;
	}

	#keep(sequence: number, bytes: Buffer): void {
		const ahead = (sequence - this.#next) | 0;
		if (ahead + bytes.length <= 0 || ahead > MAX_AHEAD) return;
		const known = this.#early.get(sequence);
		if (known !== undefined && known.length >= bytes.length) return;
		// the frame is a view of memory that is shared with others of its batch
		const own = known === undefined ? Buffer.from(bytes) : Buffer.concat([known, bytes.subarray(known.length)]);
		this.#early.set(sequence, own);
		this.#earlyBytes += own.length - (known?.length ?? 0);
	}

	/** Bytes from the next one on, whatever segments they are in. */
	#takeNext(): Buffer | undefined {
		for (const [sequence, bytes] of this.#early) {
			const ahead = (sequence - this.#next) | 0;
			if (ahead > 0) continue;
			this.#early.delete(sequence);
			this.#earlyBytes -= bytes.length;
			if (ahead + bytes.length <= 0) continue;
			this.#next = (this.#next + ahead + bytes.length) >>> 0;
			return bytes.subarray(-ahead);
		}
		return undefined;
	}

	#split(messages: Buffer[]): void {
		while (this.#rest.length >= 2) {
			const end = 2 + this.#rest.readUInt16BE(0);
			if (this.#rest.length < end) return;
			messages.push(this.#rest.subarray(2, end));
			this.#rest = this.#rest.subarray(end);
		}
	}

	#giveUp(): void {
		this.#lost = true;
		this.#early.clear();
		this.#rest = Buffer.alloc(0);
	}
}
