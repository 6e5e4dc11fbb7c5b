/**
 * The agent's gRPC server on a unix socket: Fairlead's own API, and the observer API that the stock Hubble CLI speaks
 * (`hubble --server unix:///run/fairlead/agent.sock observe`).
 */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { loadAgentApi, loadHealthApi, loadObserverApi } from '../../proto/load.ts';
import { createHandlers, type HandlerOptions } from './handlers.ts';
import { createHealthHandlers, createObserverHandlers } from './hubble-handlers.ts';
import { listenPrivate, type PrivateSocketOptions } from './socket.ts';

export interface ApiServerOptions
	extends Omit<HandlerOptions, 'stopping'>,
		Pick<PrivateSocketOptions, 'peerCredentials' | 'allowedUids' | 'onRefused'> {
	/** runDir/agent.sock */
	readonly socketPath: string;
}

export interface ApiServer {
	/** Ends all calls, followers too, and removes the socket. */
	close(): Promise<void>;
}

/** How long calls may take to end by themselves when the server closes. */
const GRACE_MS = 200;

/** Serves until closed. @throws SOCKET_BUSY, LISTEN_FAILED */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
	const server = new Server({ 'grpc.max_receive_message_length': 1024 * 1024 });
	const stopping = new AbortController();
	const served = { ...options, stopping: stopping.signal };
	server.addService(loadAgentApi().Agent.service, { ...createHandlers(served) });
	server.addService(loadObserverApi().Observer.service, { ...createObserverHandlers(served) });
	server.addService(loadHealthApi().Health.service, { ...createHealthHandlers(served) });
	// connections are checked before gRPC sees them, which its own listener has no hook for
	const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
	const { peerCredentials, allowedUids, onRefused } = options;
	const socket = await listenPrivate({
		path: options.socketPath,
		peerCredentials,
		...(allowedUids === undefined ? {} : { allowedUids }),
		onRefused,
		onConnection: (connection) => injector.injectConnection(connection),
	});
	return {
		close: async () => {
			const closed = socket.close();
			stopping.abort();
			injector.drain(GRACE_MS);
			await new Promise((resolve) => setTimeout(resolve, GRACE_MS));
			server.forceShutdown();
			await closed;
		},
	};
}
