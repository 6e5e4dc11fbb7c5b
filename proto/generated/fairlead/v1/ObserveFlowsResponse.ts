// Original file: proto/fairlead/v1/agent.proto

import type { Flow as _fairlead_v1_Flow, Flow__Output as _fairlead_v1_Flow__Output } from '../../fairlead/v1/Flow.ts';
import type { LostFlows as _fairlead_v1_LostFlows, LostFlows__Output as _fairlead_v1_LostFlows__Output } from '../../fairlead/v1/LostFlows.ts';

export interface ObserveFlowsResponse {
  'flow'?: (_fairlead_v1_Flow | null);
  'lost'?: (_fairlead_v1_LostFlows | null);
  'message'?: "flow"|"lost";
}

export interface ObserveFlowsResponse__Output {
  'flow'?: (_fairlead_v1_Flow__Output | null);
  'lost'?: (_fairlead_v1_LostFlows__Output | null);
  'message'?: "flow"|"lost";
}
