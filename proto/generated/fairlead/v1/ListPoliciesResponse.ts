// Original file: proto/fairlead/v1/agent.proto

import type { Policy as _fairlead_v1_Policy, Policy__Output as _fairlead_v1_Policy__Output } from '../../fairlead/v1/Policy.ts';
import type { PolicyCounters as _fairlead_v1_PolicyCounters, PolicyCounters__Output as _fairlead_v1_PolicyCounters__Output } from '../../fairlead/v1/PolicyCounters.ts';
import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../../google/protobuf/Timestamp.ts';

export interface ListPoliciesResponse {
  'policies'?: (_fairlead_v1_Policy)[];
  /**
   * What no rule allowed at isolated pods, of all policies together: each packet once, whoever isolates.
   */
  'isolated'?: (_fairlead_v1_PolicyCounters | null);
  /**
   * Time of the last look at the flows, which counters of allowed packets are as of; absent = none yet.
   */
  'counted'?: (_google_protobuf_Timestamp | null);
}

export interface ListPoliciesResponse__Output {
  'policies': (_fairlead_v1_Policy__Output)[];
  /**
   * What no rule allowed at isolated pods, of all policies together: each packet once, whoever isolates.
   */
  'isolated': (_fairlead_v1_PolicyCounters__Output | null);
  /**
   * Time of the last look at the flows, which counters of allowed packets are as of; absent = none yet.
   */
  'counted': (_google_protobuf_Timestamp__Output | null);
}
