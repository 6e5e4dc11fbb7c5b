/**
 * The methods of fairlead.v1.Agent over an AgentState. Everything that decides is in requests.ts and messages.ts.
 */

import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type {
	handleServerStreamingCall,
	handleUnaryCall,
	ServerUnaryCall,
	ServerWritableStream,
	sendUnaryData,
} from '@grpc/grpc-js';
import { Metadata, status } from '@grpc/grpc-js';
import type { AgentHandlers } from '../../proto/generated/fairlead/v1/Agent.ts';
import type { FlowObserver } from '../flows/observer.ts';
import { errorCode, errorMessage, FairleadError } from '../model/errors.ts';
import { conntrackMessage, dropMessage, observedMessage, statusMessage } from './messages.ts';
import { parseConntrackRequest, parseObserveRequest, requireText } from './requests.ts';
import type { AgentState, ServiceReport } from './state.ts';

export interface HandlerOptions {
	readonly version: string;
	readonly nodeName: string;
	readonly state: AgentState;
	readonly flows: FlowObserver;
	/** Called for errors that are not the client's fault. */
	readonly onError: (method: string, error: unknown) => void;
	/** Aborted when the server closes: streams end with UNAVAILABLE. */
	readonly stopping?: AbortSignal;
}

/** Entries a stream looks at before it lets others run. */
const ENTRIES_PER_TURN = 512;

/** A status a client gets as it is. */
class CallError extends Error {
	readonly status: status;
	constructor(code: status, message: string) {
		super(message);
		this.status = code;
	}
}

export function createHandlers(options: HandlerOptions): AgentHandlers {
	const { state, flows } = options;
	const unary = <Q, R>(method: string, answer: (request: Q) => R | Promise<R>): handleUnaryCall<Q, R> => {
		return (call, callback) => void answerUnary(options, method, call, callback, answer);
	};
	const stream = <Q, R>(
		method: string,
		answer: (request: Q, signal: AbortSignal) => AsyncIterable<R>,
	): handleServerStreamingCall<Q, R> => {
		return (call) => void answerStream(options, method, call, answer);
	};
	return {
		GetStatus: unary('GetStatus', async () => statusMessage(await state.status(), flows.stats(), options)),
		ListServices: unary('ListServices', async ({ namespace }) => ({
			services: sortByName(inNamespace(await state.services(), namespace), (service) => service.name),
		})),
		GetService: unary('GetService', async ({ namespace, name }) => ({
			service: findService(await state.services(), namespace, name),
		})),
		ListEndpoints: unary('ListEndpoints', async ({ namespace }) => ({
			endpoints: sortByName(inNamespace(await state.endpoints(), namespace), (endpoint) => endpoint.pod),
		})),
		ListNodes: unary('ListNodes', async () => ({
			nodes: [...(await state.nodes())].sort((a, b) => compare(a.name, b.name)),
		})),
		ListDrops: unary('ListDrops', ({ all }) => ({
			drops: state
				.drops()
				.filter((total) => all || total.packets > 0n)
				.map(dropMessage),
		})),
		GetConfig: unary('GetConfig', () => ({ settings: [...state.config()] })),
		ListConntrack: stream('ListConntrack', async function* (request) {
			const test = parseConntrackRequest(request);
			let seen = 0;
			let sent = 0;
			for (const entry of await state.conntrack()) {
				if (++seen % ENTRIES_PER_TURN === 0) await nextTurn();
				if (!test(entry)) continue;
				yield conntrackMessage(entry);
				if (++sent === request.limit) return;
			}
		}),
		ObserveFlows: stream('ObserveFlows', async function* (request, signal) {
			for await (const message of flows.observe(parseObserveRequest(request), signal)) yield observedMessage(message);
		}),
	};
}

async function answerUnary<Q, R>(
	options: HandlerOptions,
	method: string,
	call: ServerUnaryCall<Q, R>,
	callback: sendUnaryData<R>,
	answer: (request: Q) => R | Promise<R>,
): Promise<void> {
	try {
		callback(null, await answer(call.request));
	} catch (error) {
		callback(statusOf(options, method, error));
	}
}

async function answerStream<Q, R>(
	options: HandlerOptions,
	method: string,
	call: ServerWritableStream<Q, R>,
	answer: (request: Q, signal: AbortSignal) => AsyncIterable<R>,
): Promise<void> {
	const gone = new AbortController();
	call.on('cancelled', () => gone.abort());
	const signal = options.stopping === undefined ? gone.signal : AbortSignal.any([gone.signal, options.stopping]);
	// headers at once: a follower knows that it is connected before the first flow comes
	call.sendMetadata(new Metadata());
	try {
		for await (const message of answer(call.request, signal)) {
			if (signal.aborted) break;
			if (!call.write(message)) await drained(call, signal);
		}
		if (options.stopping?.aborted === true) throw new CallError(status.UNAVAILABLE, 'the agent is stopping');
		call.end();
	} catch (error) {
		call.emit('error', statusOf(options, method, error));
	}
}

async function drained(call: ServerWritableStream<unknown, unknown>, signal: AbortSignal): Promise<void> {
	try {
		await once(call, 'drain', { signal });
	} catch (error) {
		if (!signal.aborted) throw error;
	}
}

function statusOf(options: HandlerOptions, method: string, error: unknown): { code: status; details: string } {
	if (error instanceof CallError) return { code: error.status, details: error.message };
	if (error instanceof FairleadError && error.code === 'REQUEST_INVALID') {
		return { code: status.INVALID_ARGUMENT, details: error.message };
	}
	options.onError(method, error);
	const code = errorCode(error);
	return { code: status.INTERNAL, details: `${code === undefined ? '' : `${code}: `}${errorMessage(error)}` };
}

function findService(services: readonly ServiceReport[], namespace: string, name: string): ServiceReport {
	requireText(namespace, 'namespace');
	requireText(name, 'name');
	const found = services.find((service) => service.namespace === namespace && service.name === name);
	if (found === undefined) throw new CallError(status.NOT_FOUND, `service ${namespace}/${name}: not found`);
	return found;
}

function inNamespace<T extends { readonly namespace: string }>(items: readonly T[], namespace: string): T[] {
	return items.filter((item) => namespace === '' || item.namespace === namespace);
}

function sortByName<T extends { readonly namespace: string }>(items: T[], name: (item: T) => string): T[] {
	return items.sort((a, b) => compare(a.namespace, b.namespace) || compare(name(a), name(b)));
}

function compare(a: string, b: string): number {
	return a < b ? -1 : a > b ? 1 : 0;
}
