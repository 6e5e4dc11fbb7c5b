/**
 * Connection to the agent. gRPC is loaded on first use: help, version and completion must be fast.
 */
import { connect } from 'node:net';
import { resolve } from 'node:path';
import type { CallOptions, ClientReadableStream, ServiceError } from '@grpc/grpc-js';
import type { AgentClient as Stub } from '../proto/generated/fairlead/v1/Agent.ts';
import { CliError, EXIT } from './exit.ts';

type Done<R> = (error: ServiceError | null, response?: R) => void;

export interface AgentConnection {
	/** One request, one answer: `unary((stub, options, done) => stub.getStatus({}, options, done))`. */
	unary<R>(call: (stub: Stub, options: CallOptions, done: Done<R>) => unknown): Promise<R>;
	/** Messages of a stream until it ends or the signal aborts; stopping the iteration cancels it too. */
	stream<R>(call: (stub: Stub) => ClientReadableStream<R>, signal?: AbortSignal): AsyncGenerator<R, void, undefined>;
	close(): void;
}

export interface ConnectOptions {
	readonly socketPath: string;
	/** For unary requests, in milliseconds. */
	readonly timeoutMs?: number;
}

/** gRPC status codes that mean something to a person; numbers of grpc/status.proto. */
const STATUS = { CANCELLED: 1, INVALID_ARGUMENT: 3, DEADLINE_EXCEEDED: 4, NOT_FOUND: 5, UNAVAILABLE: 14 } as const;

/** @throws CliError UNREACHABLE with what to do about it */
export async function connectAgent(options: ConnectOptions): Promise<AgentConnection> {
	const path = resolve(options.socketPath);
	await probe(path);
	const [{ credentials }, { loadAgentApi }] = await Promise.all([import('@grpc/grpc-js'), import('../proto/load.ts')]);
	const stub = new (loadAgentApi().Agent)(`unix:${path}`, credentials.createInsecure(), {
		// a list may be long, and the other side is our own node
		'grpc.max_receive_message_length': -1,
		'grpc.enable_retries': 0,
	});
	const timeoutMs = options.timeoutMs ?? 10_000;
	return {
		unary: (call) =>
			new Promise((fulfil, reject) => {
				call(stub, { deadline: Date.now() + timeoutMs }, (error, response) => {
					if (error !== null) reject(explain(error, path, timeoutMs));
					else if (response === undefined) reject(new CliError(EXIT.FAILURE, 'the agent sent an empty answer'));
					else fulfil(response);
				});
			}),
		stream: (call, signal) => readStream(call(stub), signal, (error) => explain(error, path, timeoutMs)),
		close: () => stub.close(),
	};
}

async function* readStream<R>(
	stream: ClientReadableStream<R>,
	signal: AbortSignal | undefined,
	explained: (error: ServiceError) => Error,
): AsyncGenerator<R, void, undefined> {
	const cancel = (): void => stream.cancel();
	if (signal?.aborted === true) cancel();
	signal?.addEventListener('abort', cancel);
	try {
		for await (const message of stream) yield message;
	} catch (error) {
		if (signal?.aborted === true) return;
		throw isServiceError(error) ? explained(error) : error;
	} finally {
		signal?.removeEventListener('abort', cancel);
		cancel();
	}
}

function isServiceError(error: unknown): error is ServiceError {
	return error instanceof Error && 'code' in error && 'details' in error && typeof error.code === 'number';
}

function explain(error: ServiceError, path: string, timeoutMs: number): CliError {
	const of = (code: (typeof EXIT)[keyof typeof EXIT], text: string) => new CliError(code, text, { cause: error });
	switch (error.code) {
		case STATUS.INVALID_ARGUMENT:
			return of(EXIT.USAGE, error.details);
		case STATUS.NOT_FOUND:
			return of(EXIT.NOT_FOUND, error.details);
		case STATUS.DEADLINE_EXCEEDED:
			return of(EXIT.UNREACHABLE, `the agent at ${path} did not answer within ${timeoutMs / 1000} s`);
		case STATUS.CANCELLED:
		case STATUS.UNAVAILABLE:
			return of(
				EXIT.UNREACHABLE,
				`the agent at ${path} closed the connection: it is stopping, or does not accept your user (only root may)`,
			);
		default:
			return of(EXIT.FAILURE, `the agent could not answer: ${error.details}`);
	}
}

/** Connects once without gRPC, whose errors hide the errno. */
function probe(path: string): Promise<void> {
	return new Promise((fulfil, reject) => {
		const socket = connect(path);
		socket.once('connect', () => {
			socket.destroy();
			fulfil();
		});
		socket.once('error', (cause: NodeJS.ErrnoException) => {
			reject(new CliError(EXIT.UNREACHABLE, `cannot reach the agent at ${path}: ${advice(cause)}`, { cause }));
		});
	});
}

function advice(cause: NodeJS.ErrnoException): string {
	switch (cause.code) {
		case 'ENOENT':
			return 'there is no such socket (ENOENT); is fairlead-agent running? Another path: --socket or FAIRLEAD_SOCKET';
		case 'ECONNREFUSED':
			return 'nobody listens on the socket (ECONNREFUSED); start fairlead-agent';
		case 'EACCES':
		case 'EPERM':
			return `permission denied (${cause.code}); run as root`;
		default:
			return cause.message;
	}
}
