// Original file: proto/fairlead/v1/agent.proto

import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../../google/protobuf/Timestamp.ts';
import type { ReconcilerStatus as _fairlead_v1_ReconcilerStatus, ReconcilerStatus__Output as _fairlead_v1_ReconcilerStatus__Output } from '../../fairlead/v1/ReconcilerStatus.ts';
import type { MapStatus as _fairlead_v1_MapStatus, MapStatus__Output as _fairlead_v1_MapStatus__Output } from '../../fairlead/v1/MapStatus.ts';
import type { FlowStatus as _fairlead_v1_FlowStatus, FlowStatus__Output as _fairlead_v1_FlowStatus__Output } from '../../fairlead/v1/FlowStatus.ts';
import type { SourceError as _fairlead_v1_SourceError, SourceError__Output as _fairlead_v1_SourceError__Output } from '../../fairlead/v1/SourceError.ts';

export interface GetStatusResponse {
  'version'?: (string);
  'nodeName'?: (string);
  'started'?: (_google_protobuf_Timestamp | null);
  /**
   * True when the dataplane is attached and agrees with the desired state.
   */
  'ready'?: (boolean);
  /**
   * Why not ready, one sentence each; empty when ready.
   */
  'problems'?: (string)[];
  /**
   * Facts for people: routing mode, uplink, kernel, hooks in use. Keys are kebab-case.
   */
  'facts'?: ({[key: string]: string});
  'reconcilers'?: (_fairlead_v1_ReconcilerStatus)[];
  'maps'?: (_fairlead_v1_MapStatus)[];
  'flows'?: (_fairlead_v1_FlowStatus | null);
  'sourceErrors'?: (_fairlead_v1_SourceError)[];
  /**
   * What people should know although the node is ready: a map that fills up, a port that another program holds.
   */
  'warnings'?: (string)[];
}

export interface GetStatusResponse__Output {
  'version': (string);
  'nodeName': (string);
  'started': (_google_protobuf_Timestamp__Output | null);
  /**
   * True when the dataplane is attached and agrees with the desired state.
   */
  'ready': (boolean);
  /**
   * Why not ready, one sentence each; empty when ready.
   */
  'problems': (string)[];
  /**
   * Facts for people: routing mode, uplink, kernel, hooks in use. Keys are kebab-case.
   */
  'facts': ({[key: string]: string});
  'reconcilers': (_fairlead_v1_ReconcilerStatus__Output)[];
  'maps': (_fairlead_v1_MapStatus__Output)[];
  'flows': (_fairlead_v1_FlowStatus__Output | null);
  'sourceErrors': (_fairlead_v1_SourceError__Output)[];
  /**
   * What people should know although the node is ready: a map that fills up, a port that another program holds.
   */
  'warnings': (string)[];
}
