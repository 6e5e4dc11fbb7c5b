/**
 * Loads the .proto files: used by the servers in the agent and the clients in the command line tool.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type GrpcObject, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync, type Options } from '@grpc/proto-loader';
import type { ProtoGrpcType as AgentTypes } from './generated/agent.ts';
import type { ProtoGrpcType as HealthTypes } from './generated/health.ts';
import type { ProtoGrpcType as ObserverTypes } from './generated/observer.ts';

/** How values look in TypeScript; generate.ts makes the types for the same choice. Counters beyond 2^53 lose digits. */
const LOAD_OPTIONS: Options = { longs: Number, enums: String, defaults: true, oneofs: true };

const AGENT = 'fairlead/v1/agent.proto';

/** The .proto files lie beside this file in the sources and are not copied to dist/. */
function protoDir(): string {
	const beside = import.meta.dirname;
	return existsSync(join(beside, AGENT)) ? beside : join(beside, '../../proto');
}

function load(file: string): GrpcObject {
	return loadPackageDefinition(loadSync(file, { ...LOAD_OPTIONS, includeDirs: [protoDir()] }));
}

// What the files define is what the generated types describe: a test generates them again. Each costs tens of
// milliseconds: call it once.

/** Client constructor and service definition of fairlead.v1.Agent. */
export function loadAgentApi(): AgentTypes['fairlead']['v1'] {
	return (load(AGENT) as unknown as AgentTypes).fairlead.v1;
}

/** Those of the Hubble observer. */
export function loadObserverApi(): ObserverTypes['observer'] {
	return (load('hubble/observer/observer.proto') as unknown as ObserverTypes).observer;
}

/** Those of the standard health check. */
export function loadHealthApi(): HealthTypes['grpc']['health']['v1'] {
	return (load('grpc/health/v1/health.proto') as unknown as HealthTypes).grpc.health.v1;
}
