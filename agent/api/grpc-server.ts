/**
 * The gRPC server behind the socket: Fairlead's own API, and the observer API that the stock Hubble CLI speaks
 * (`hubble --server unix:///run/fairlead/agent.sock observe`).
 */
import type { Socket } from 'node:net';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { loadAgentApi, loadHealthApi, loadObserverApi } from '../../proto/load.ts';
import { createHandlers, type HandlerOptions } from './handlers.ts';
import { createHealthHandlers, createObserverHandlers } from './hubble-handlers.ts';

export interface GrpcServer {
	/** Takes over a connection that was checked already and is paused. */
	serve(connection: Socket): void;
	/** Ends all calls, followers too. */
	close(): Promise<void>;
}

/** How long calls may take to end by themselves when the server closes. */
const GRACE_MS = 200;

export function createGrpcServer(options: Omit<HandlerOptions, 'stopping'>): GrpcServer {
	const server = new Server({ 'grpc.max_receive_message_length': 1024 * 1024 });
	const stopping = new AbortController();
	const served = { ...options, stopping: stopping.signal };
	server.addService(loadAgentApi().Agent.service, { ...createHandlers(served) });
	server.addService(loadObserverApi().Observer.service, { ...createObserverHandlers(served) });
	server.addService(loadHealthApi().Health.service, { ...createHealthHandlers(served) });
	// connections are checked before gRPC sees them, which its own listener has no hook for
	const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
	return {
		serve: (connection) => {
			injector.injectConnection(connection);
			connection.resume();
		},
		close: async () => {
			stopping.abort();
			injector.drain(GRACE_MS);
			await new Promise((resolve) => setTimeout(resolve, GRACE_MS));
			server.forceShutdown();
		},
	};
}
