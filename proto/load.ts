/**
 * Loads the .proto files: used by the servers in the agent and the clients in the command line tool.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type GrpcObject, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync, type Options } from '@grpc/proto-loader';
import type { ProtoGrpcType } from './generated/agent.ts';

/** How values look in TypeScript; generate.ts makes the types for the same choice. Counters beyond 2^53 lose digits. */
const LOAD_OPTIONS: Options = { longs: Number, enums: String, defaults: true, oneofs: true };

const AGENT = 'fairlead/v1/agent.proto';

/** The .proto files lie beside this file in the sources and are not copied to dist/. */
function protoDir(): string {
	const beside = import.meta.dirname;
	return existsSync(join(beside, AGENT)) ? beside : join(beside, '../../proto');
}

/** Client constructor and service definition of fairlead.v1.Agent. Costs tens of milliseconds: call it once. */
export function loadAgentApi(): ProtoGrpcType['fairlead']['v1'] {
	const dir = protoDir();
	const loaded: GrpcObject = loadPackageDefinition(loadSync(AGENT, { ...LOAD_OPTIONS, includeDirs: [dir] }));
	// what the files define is what the generated types describe: a test generates them again
	return (loaded as unknown as ProtoGrpcType).fairlead.v1;
}
