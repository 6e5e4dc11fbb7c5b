/**
 * Frames of pods whose policies wait for names: copies of what they ask, and what name servers answer them. Answers are learnt from
 * and then delivered, whatever they are: nothing that is malformed, unasked or unknown is held back.
 */
import type { DomainCache } from './domain-cache.ts';
import { Fragments } from './fragments.ts';
import { type Datagram, type Frame, PROTO_TCP, PROTO_UDP, parseFrame, parseTcp, parseUdp } from './frame.ts';
import { readAnswer, readQuery } from './message.ts';
import { PerPod } from './per-pod.ts';
import { type Exchange, Queries } from './queries.ts';
import { DnsStream } from './stream.ts';

export interface InterceptorOptions {
	readonly cache: DomainCache;
	/** Interface index of the pod whose interface has a MAC address; undefined = there is none. */
	readonly podOf: (mac: string) => number | undefined;
	/** Bytes in front of each frame. */
	readonly headerBytes: number;
	/** Puts what has been learnt in force. Whatever it throws is its own to report. */
	readonly onLearnt: () => void;
	/** Something could not be learnt; the frame is delivered all the same. */
	readonly onError: (error: unknown) => void;
	/** Sends a frame, with the bytes in front of it, to a pod. */
	readonly deliver: (ifindex: number, frame: Uint8Array) => void;
	readonly now?: () => number;
}

export interface InterceptorStats {
	readonly queries: number;
	readonly answers: number;
	/** Answers to questions that nobody has asked. */
	readonly unasked: number;
	/** Frames that went to pods. */
	readonly delivered: number;
}

/** Of one pod: connections have two. */
const MAX_STREAMS = 128;
/** Bytes that may wait for others of their stream: a long message, and queries are short. */
const MAX_WAITING = { answer: 96 * 1024, query: 4096 } as const;

export class Interceptor {
	readonly #options: InterceptorOptions;
	readonly #now: () => number;
	readonly #queries = new Queries();
	readonly #fragments = new Fragments();
	readonly #streams = new PerPod<DnsStream>(MAX_STREAMS);
	readonly #stats = { queries: 0, answers: 0, unasked: 0, delivered: 0 };

	constructor(options: InterceptorOptions) {
		this.#options = options;
		this.#now = options.now ?? Date.now;
	}

	get stats(): InterceptorStats {
		return { ...this.#stats };
	}

	/** Takes frames in their order; answers go on in the same order, after everything in them is in force. */
	take(frames: readonly Uint8Array[]): void {
		const { headerBytes, podOf, onLearnt, deliver } = this.#options;
		const deliveries: { readonly ifindex: number; readonly frame: Uint8Array }[] = [];
		for (const bytes of frames) {
			const { buffer, byteOffset, byteLength } = bytes;
			const length = Math.max(0, byteLength - headerBytes);
			const frame = parseFrame(Buffer.from(buffer, byteOffset + headerBytes, length));
			if (frame === undefined) continue;
			const ifindex = podOf(frame.destinationMac);
			if (ifindex !== undefined) deliveries.push({ ifindex, frame: bytes });
			if (ifindex !== undefined) this.#tryRead(frame, 'answer');
			else if (podOf(frame.sourceMac) !== undefined) this.#tryRead(frame, 'query');
		}
		onLearnt();
		for (const { ifindex, frame } of deliveries) deliver(ifindex, frame);
		this.#stats.delivered += deliveries.length;
	}

	#tryRead(frame: Frame, side: 'query' | 'answer'): void {
		try {
			this.#read(frame, side);
		} catch (error) {
			this.#options.onError(error);
		}
	}

	#read(frame: Frame, side: 'query' | 'answer'): void {
		const segment = this.#fragments.add(frame, this.#now());
		if (segment === undefined) return;
		if (frame.proto === PROTO_UDP) {
			const datagram = parseUdp(segment);
			if (datagram !== undefined) this.#onMessage(frame, datagram, side, datagram.payload);
		} else if (frame.proto === PROTO_TCP) this.#readSegment(frame, segment, side);
	}

	#readSegment(frame: Frame, bytes: Buffer, side: 'query' | 'answer'): void {
		const segment = parseTcp(bytes);
		if (segment === undefined) return;
		const pod = side === 'query' ? frame.source : frame.destination;
		const key = `${frame.source} ${segment.sourcePort} ${frame.destination} ${segment.destinationPort}`;
		const first = segment.syn ? segment.sequence + 1 : segment.sequence;
		// a SYN that is sent again begins the stream again: nothing has been said yet
		if (segment.syn) this.#streams.set(pod, key, new DnsStream(first, MAX_WAITING[side]));
		const stream = this.#streams.get(pod, key);
		if (stream === undefined) return;
		for (const message of stream.add(first, segment.payload)) this.#onMessage(frame, segment, side, message);
		if (stream.isLost) this.#streams.delete(pod, key);
	}

	#onMessage(frame: Frame, ports: Datagram, side: 'query' | 'answer', message: Buffer): void {
		const now = this.#now();
		const { proto, source, destination } = frame;
		const { sourcePort, destinationPort } = ports;
		if (side === 'query') {
			const exchange = {
				proto,
				client: source,
				clientPort: sourcePort,
				server: destination,
				serverPort: destinationPort,
			};
			this.#onQuery(exchange, message, now);
		} else {
			const exchange = {
				proto,
				client: destination,
				clientPort: destinationPort,
				server: source,
				serverPort: sourcePort,
			};
			this.#onAnswer(exchange, message, now);
		}
	}

	#onQuery(exchange: Exchange, message: Buffer, now: number): void {
		const question = readQuery(message);
		if (question === undefined) return;
		this.#stats.queries++;
		this.#queries.ask(exchange, question, now);
	}

	#onAnswer(exchange: Exchange, message: Buffer, now: number): void {
		const answer = readAnswer(message);
		if (answer === undefined) return;
		this.#stats.answers++;
		if (this.#queries.answer(exchange, answer, now)) this.#options.cache.learn(answer, now);
		else this.#stats.unasked++;
	}
}
