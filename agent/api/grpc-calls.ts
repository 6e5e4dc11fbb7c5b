/**
 * From plain functions to gRPC handlers: statuses of errors, back pressure, cancellation, the end of the server.
 */
import { once } from 'node:events';
import type {
	handleServerStreamingCall,
	handleUnaryCall,
	ServerUnaryCall,
	ServerWritableStream,
	sendUnaryData,
} from '@grpc/grpc-js';
import { Metadata, status } from '@grpc/grpc-js';
import { errorCode, errorMessage, FairleadError } from '../model/errors.ts';

export interface CallOptions {
	/** Called for errors that are not the client's fault. */
	readonly onError: (method: string, error: unknown) => void;
	/** Aborted when the server closes: streams end with UNAVAILABLE. */
	readonly stopping?: AbortSignal;
}

/** A status a client gets as it is. */
export class CallError extends Error {
	readonly status: status;
	constructor(code: status, message: string) {
		super(message);
		this.status = code;
	}
}

export interface CallFactory {
	unary<Q, R>(method: string, answer: (request: Q) => R | Promise<R>): handleUnaryCall<Q, R>;
	/** @param answer  its signal aborts when the client has gone or the server stops */
	stream<Q, R>(
		method: string,
		answer: (request: Q, signal: AbortSignal) => AsyncIterable<R>,
	): handleServerStreamingCall<Q, R>;
}

export function callFactory(options: CallOptions): CallFactory {
	return {
		unary: (method, answer) => (call, callback) => void answerUnary(options, method, call, callback, answer),
		stream: (method, answer) => (call) => void answerStream(options, method, call, answer),
	};
}

async function answerUnary<Q, R>(
	options: CallOptions,
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
	options: CallOptions,
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

function statusOf(options: CallOptions, method: string, error: unknown): { code: status; details: string } {
	if (error instanceof CallError) return { code: error.status, details: error.message };
	if (error instanceof FairleadError && error.code === 'REQUEST_INVALID') {
		return { code: status.INVALID_ARGUMENT, details: error.message };
	}
	options.onError(method, error);
	const code = errorCode(error);
	return { code: status.INTERNAL, details: `${code === undefined ? '' : `${code}: `}${errorMessage(error)}` };
}
