// Original file: proto/hubble/observer/observer.proto

import type { Flow as _flow_Flow, Flow__Output as _flow_Flow__Output } from '../flow/Flow.ts';
import type { NodeStatusEvent as _relay_NodeStatusEvent, NodeStatusEvent__Output as _relay_NodeStatusEvent__Output } from '../relay/NodeStatusEvent.ts';
import type { LostEvent as _flow_LostEvent, LostEvent__Output as _flow_LostEvent__Output } from '../flow/LostEvent.ts';
import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../google/protobuf/Timestamp.ts';

export interface GetFlowsResponse {
  'flow'?: (_flow_Flow | null);
  'nodeStatus'?: (_relay_NodeStatusEvent | null);
  'lostEvents'?: (_flow_LostEvent | null);
  'nodeName'?: (string);
  'time'?: (_google_protobuf_Timestamp | null);
  'responseTypes'?: "flow"|"nodeStatus"|"lostEvents";
}

export interface GetFlowsResponse__Output {
  'flow'?: (_flow_Flow__Output | null);
  'nodeStatus'?: (_relay_NodeStatusEvent__Output | null);
  'lostEvents'?: (_flow_LostEvent__Output | null);
  'nodeName': (string);
  'time': (_google_protobuf_Timestamp__Output | null);
  'responseTypes'?: "flow"|"nodeStatus"|"lostEvents";
}
