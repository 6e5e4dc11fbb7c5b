/**
 * Generations of verdicts, in the rows of `endpoints`. Flows remember the one that they were judged with, and are judged anew when it
 * differs.
 */
import { fieldOffset } from '../../native/abi/field-offset.ts';
import { Endpoint } from '../../native/abi/generated.ts';
import type { PolicyKernel } from './policy-kernel.ts';

/** In units of 2 bytes: what a row takes, and where its generation is. */
const ROW = Endpoint.size / 2;
const FIELD = fieldOffset(Endpoint, 'policyGen') / 2;

export class PolicyGenerations {
	readonly #kernel: Pick<PolicyKernel, 'shared'>;
	#words: Uint16Array | undefined;

	constructor(kernel: Pick<PolicyKernel, 'shared'>) {
		this.#kernel = kernel;
	}

	/** The verdicts of a pod's flows have to be found anew. A row that does not exist has none. */
	bump(index: number): void {
		const words = this.#memory();
		const at = index * ROW + FIELD;
		if (at >= words.length) return;
		// Flows of programs that knew no policy remember 0, so no generation is 0.
		if (Atomics.add(words, at, 1) === 0xffff) Atomics.add(words, at, 1);
	}

	/** Gives every row a generation; those that have one keep it. */
	begin(): void {
		const words = this.#memory();
		for (let at = FIELD; at < words.length; at += ROW) Atomics.compareExchange(words, at, 0, 1);
	}

	#memory(): Uint16Array {
		if (this.#words === undefined) {
			const { buffer, byteOffset, byteLength } = this.#kernel.shared('endpoints');
			this.#words = new Uint16Array(buffer, byteOffset, byteLength >>> 1);
		}
		return this.#words;
	}
}
