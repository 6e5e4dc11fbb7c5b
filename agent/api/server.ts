/**
 * The agent's API socket. gRPC and its message definitions are loaded when the first client connects: they are a seventh
 * of the memory of an idle agent, and most nodes are never asked.
 */
import type { Socket } from 'node:net';
import { FairleadError } from '../model/errors.ts';
import type { GrpcServer } from './grpc-server.ts';
import type { HandlerOptions } from './handlers.ts';
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

/** Serves until closed. @throws SOCKET_BUSY, LISTEN_FAILED */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
	let loading: Promise<GrpcServer> | undefined;
	let closed = false;
	const serve = async (connection: Socket): Promise<void> => {
		try {
			loading ??= import('./grpc-server.ts').then(({ createGrpcServer }) => createGrpcServer(options));
			const server = await loading;
			if (closed) connection.destroy();
			else server.serve(connection);
		} catch (cause) {
			// such as files that were replaced under a running agent; the next client tries again
			loading = undefined;
			connection.destroy();
			options.onError('connect', new FairleadError('LISTEN_FAILED', 'cannot load the API server', { cause }));
		}
	};
	const { socketPath: path, peerCredentials, allowedUids, onRefused } = options;
	const socket = await listenPrivate({
		path,
		peerCredentials,
		...(allowedUids === undefined ? {} : { allowedUids }),
		onRefused,
		onConnection: (connection) => void serve(connection),
	});
	return {
		close: async () => {
			closed = true;
			const done = socket.close();
			await (await loading)?.close();
			await done;
		},
	};
}
