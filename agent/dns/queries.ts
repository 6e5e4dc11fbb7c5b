/**
 * Questions that pods have asked and that have not been answered: only what answers one of them counts.
 */
import type { DnsQuestion } from './message.ts';
import { PerPod } from './per-pod.ts';

/** Of one pod. */
const MAX_QUERIES = 2048;
/** Longer than any resolver waits. */
const MAX_AGE_MS = 30_000;

interface Asked {
	readonly question: string;
	readonly since: number;
	/** Copies that have been sent and not been answered. */
	copies: number;
}

/** Client and server of a message. */
export interface Exchange {
	readonly proto: number;
	readonly client: string;
	readonly clientPort: number;
	readonly server: string;
	readonly serverPort: number;
}

export class Queries {
	readonly #asked = new PerPod<Asked>(MAX_QUERIES);

	ask(exchange: Exchange, question: DnsQuestion, nowMs: number): void {
		const key = keyOf(exchange, question);
		const text = textOf(question);
		const known = this.#asked.get(exchange.client, key);
		const again = known?.question === text && nowMs - known.since <= MAX_AGE_MS;
		const copies = again ? Math.min(known.copies + 1, 16) : 1;
		this.#asked.set(exchange.client, key, { question: text, since: nowMs, copies });
	}

	/** Takes the answer for a question off it. @returns whether somebody has asked this */
	answer(exchange: Exchange, question: DnsQuestion, nowMs: number): boolean {
		const key = keyOf(exchange, question);
		const known = this.#asked.get(exchange.client, key);
		if (known === undefined || known.question !== textOf(question) || nowMs - known.since > MAX_AGE_MS) return false;
		if (--known.copies === 0) this.#asked.delete(exchange.client, key);
		return true;
	}
}

function keyOf({ proto, clientPort, server, serverPort }: Exchange, { id }: DnsQuestion): string {
	return `${proto} ${clientPort} ${server} ${serverPort} ${id}`;
}

function textOf({ name, type }: DnsQuestion): string {
	return `${name} ${type}`;
}
