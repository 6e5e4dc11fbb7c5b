/**
 * Bytes of a watch as they arrive → complete lines. What follows the last newline is never a line: a connection that breaks
 * within an event delivers nothing of it.
 */

/** etcd refuses objects beyond 1.5 MiB; events repeat little more than the object. */
const LONGEST_LINE = 16 * 1024 * 1024;
const NEWLINE = 10;

export class LineSplitter {
	#pending: Buffer[] = [];
	#pendingBytes = 0;

	/** Lines completed by this chunk, without newline and without empty ones. @throws RangeError on an absurdly long one */
	push(chunk: Buffer): string[] {
		const lines: string[] = [];
		let start = 0;
		for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
			const line = this.#complete(chunk.subarray(start, end));
			if (line !== '') lines.push(line);
			start = end + 1;
		}
		if (start < chunk.length) this.#keep(chunk.subarray(start));
		return lines;
	}

	#complete(end: Buffer): string {
		if (this.#pendingBytes === 0) return end.toString().trimEnd();
		const line = Buffer.concat([...this.#pending, end])
			.toString()
			.trimEnd();
		this.#pending = [];
		this.#pendingBytes = 0;
		return line;
	}

	#keep(rest: Buffer): void {
		this.#pending.push(rest);
		this.#pendingBytes += rest.length;
		if (this.#pendingBytes > LONGEST_LINE)
			throw new RangeError(`a line of a watch is longer than ${LONGEST_LINE} bytes`);
	}
}
