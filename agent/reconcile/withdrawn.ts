/**
 * Addresses that are no service's any more. Programs at the uplinks pass whatever is not for an address with its bit in vip_filter before they look at
 * flows, so that bit, and the count of services at the node's own addresses, stay for connections that have come by them: established ones outlive
 * their service as they do with kube-proxy.
 */
import type { ServiceOp } from './services-ops.ts';

export interface WithdrawnOptions {
	/** How long they stay, in milliseconds. */
	readonly keepMs: number;
	/** Milliseconds, monotonic. */
	readonly now: () => number;
}

/** Key of the count beside those of bits. */
const EXTERNAL_PORTS = -1;

/** What an operation would end. */
function keyOf(op: ServiceOp): number | undefined {
	if (op.kind === 'filter-clear') return op.bit;
	return op.kind === 'external-ports' && op.count === 0 ? EXTERNAL_PORTS : undefined;
}

export class Withdrawn {
	readonly #options: WithdrawnOptions;
	/** Bit → when it was to be cleared for the first time. Whoever reads the kernel finds it set, and asks again. */
	readonly #since = new Map<number, number>();

	constructor(options: WithdrawnOptions) {
		this.#options = options;
	}

	/** All operations of a comparison with the kernel: what it does not ask for is in use again. */
	seeAll(ops: readonly ServiceOp[]): void {
		const asked = new Set(ops.flatMap((op) => keyOf(op) ?? []));
		for (const what of this.#since.keys()) if (!asked.has(what)) this.#since.delete(what);
	}

	/** Sees every operation. @returns whether it is not to be done yet */
	putsOff(op: ServiceOp): boolean {
		const what = keyOf(op);
		if (what !== undefined) return this.#isEarly(what);
		if (op.kind === 'filter-set') this.#since.delete(op.bit);
		if (op.kind === 'external-ports') this.#since.delete(EXTERNAL_PORTS);
		return false;
	}

	#isEarly(what: number): boolean {
		const { keepMs, now } = this.#options;
		const since = this.#since.get(what) ?? now();
		const early = now() - since < keepMs;
		if (early) this.#since.set(what, since);
		else this.#since.delete(what);
		return early;
	}
}
