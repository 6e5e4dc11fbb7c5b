/**
 * What the API server needs from the rest of the agent. main.ts implements it; tests invent one.
 * Every method is called per request and may read the kernel; none may change anything.
 */
import type { Endpoint__Output } from '../../proto/generated/fairlead/v1/Endpoint.ts';
import type { ExplainFlowRequest__Output } from '../../proto/generated/fairlead/v1/ExplainFlowRequest.ts';
import type { Node__Output } from '../../proto/generated/fairlead/v1/Node.ts';
import type { Service__Output } from '../../proto/generated/fairlead/v1/Service.ts';
import type { Setting__Output } from '../../proto/generated/fairlead/v1/Setting.ts';
import type { SourceError__Output } from '../../proto/generated/fairlead/v1/SourceError.ts';
import type { DropTotal } from '../flows/counters.ts';
import type { Flow, PeerName } from '../flows/flow.ts';
import type { PolicySources } from './policy-sources.ts';

/** Reports without numbers beyond 2^32 are the messages of agent.proto themselves. */
export type ServiceReport = Service__Output;
export type EndpointReport = Endpoint__Output;
export type NodeReport = Node__Output;
export type SettingReport = Setting__Output;
export type SourceErrorReport = SourceError__Output;

export interface ReconcilerReport {
	readonly name: string;
	readonly runs: number;
	readonly failures: number;
	/** Undefined = none yet. */
	readonly lastSuccess?: Date | undefined;
	/** '' = the last run succeeded. */
	readonly lastError: string;
}

export interface MapReport {
	/** Without prefix and version. */
	readonly name: string;
	/** Undefined = counting would mean to walk the map. */
	readonly entries?: number | undefined;
	readonly capacity: number;
	/** Kernel memory. */
	readonly bytes: number;
}

export interface StatusReport {
	readonly started: Date;
	readonly ready: boolean;
	/** Why not ready, one sentence each. */
	readonly problems: readonly string[];
	/** What people should know although it is ready, one sentence each. */
	readonly warnings: readonly string[];
	/** Facts for people by kebab-case key: routing, uplink, kernel, hooks. Shown in this order. */
	readonly facts: Readonly<Record<string, string>>;
	readonly reconcilers: readonly ReconcilerReport[];
	readonly maps: readonly MapReport[];
	readonly sourceErrors: readonly SourceErrorReport[];
	/** METRIC_EVENTS_LIMITED. */
	readonly eventsLimited: bigint;
}

export interface ConntrackReport {
	/** IP protocol number. */
	readonly protocol: number;
	/** Who opened the connection. */
	readonly source: string;
	readonly sourcePort: number;
	/** Whom the initiator addressed. */
	readonly destination: string;
	readonly destinationPort: number;
	/** What the destination becomes, or the source of replies of a lone entry for replies (`svc_reply`); '' = not translated. */
	readonly translated: string;
	readonly translatedPort: number;
	/** Source port after rewriting; 0 = unchanged. */
	readonly snatPort: number;
	readonly state: 'new' | 'established' | 'closing';
	/** Lower-case names of the other enum ct_flags. */
	readonly flags: readonly string[];
	readonly idleMs: number;
	readonly ageMs: number;
	readonly packetsForward: number;
	readonly packetsReply: number;
	readonly bytesForward: bigint;
	readonly bytesReply: bigint;
	readonly sourceName: PeerName | undefined;
	readonly destinationName: PeerName | undefined;
}

export type ExplainRequest = ExplainFlowRequest__Output;

export interface ExplanationStep {
	readonly about: 'source' | 'service' | 'backend' | 'egress' | 'destination' | 'ingress' | 'delivery';
	readonly outcome: 'ok' | 'drop' | 'audit' | 'elsewhere' | 'info';
	readonly text: string;
}

/** What would become of a flow. */
export interface FlowExplanation {
	/** `partly`: some backends are not reached. `elsewhere`: other nodes decide. `stack`: it is left to the node. */
	readonly verdict: 'forwarded' | 'dropped' | 'partly' | 'elsewhere' | 'stack';
	/** DropReason; 0 = not dropped. */
	readonly reason: number;
	readonly source: string;
	readonly destination: string;
	/** In the order in which a packet meets them. */
	readonly steps: readonly ExplanationStep[];
	/** Recent drops are those that pass. */
	readonly concerns: (flow: Flow) => boolean;
}

export interface AgentState {
	status(): StatusReport | Promise<StatusReport>;
	/** In any order: the server sorts. */
	services(): readonly ServiceReport[] | Promise<readonly ServiceReport[]>;
	endpoints(): readonly EndpointReport[] | Promise<readonly EndpointReport[]>;
	nodes(): readonly NodeReport[] | Promise<readonly NodeReport[]>;
	/** All entries; lazily decoded is best, there may be hundreds of thousands. See conntrack-reports.ts. */
	conntrack(): Promise<Iterable<ConntrackReport>>;
	/** readDropTotals of agent/flows/counters.ts. */
	drops(): readonly DropTotal[];
	/** undefined = policies are not followed yet. */
	policies(): PolicySources | undefined;
	/** @throws REQUEST_INVALID, CallError NOT_FOUND; undefined = the dataplane is not up yet */
	explain(request: ExplainRequest): Promise<FlowExplanation | undefined>;
	config(): readonly SettingReport[];
}
