/**
 * Generations of verdicts, by row of `endpoints`. Flows remember the low 16 bits of the one they were judged with, and are judged
 * anew when it differs.
 */
import { PolicyGeneration } from '../../native/abi/generated.ts';
import type { PolicyKernel } from './policy-kernel.ts';

const WORDS = PolicyGeneration.size / 4;
/** Flows of programs that knew no policy remember 0, so no generation is like it. */
const REMEMBERED = 0xffff;

export class PolicyGenerations {
	readonly #kernel: Pick<PolicyKernel, 'shared'>;
	#words: Uint32Array | undefined;

	constructor(kernel: Pick<PolicyKernel, 'shared'>) {
		this.#kernel = kernel;
	}

	/** The verdicts of a pod's flows have to be found anew. A row that does not exist has none. */
	bump(index: number): void {
		const words = this.#memory();
		const at = index * WORDS;
		if (at >= words.length) return;
		const before = Atomics.add(words, at, 1);
		if (((before + 1) & REMEMBERED) === 0) Atomics.add(words, at, 1);
	}

	/** Gives every row a generation; those that have one keep it. */
	begin(): void {
		const words = this.#memory();
		for (let at = 0; at < words.length; at += WORDS) Atomics.compareExchange(words, at, 0, 1);
	}

	#memory(): Uint32Array {
		if (this.#words === undefined) {
			const { buffer, byteOffset, byteLength } = this.#kernel.shared('policygen');
			this.#words = new Uint32Array(buffer, byteOffset, byteLength >>> 2);
		}
		return this.#words;
	}
}
