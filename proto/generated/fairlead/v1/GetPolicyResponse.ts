// Original file: proto/fairlead/v1/agent.proto

import type { Policy as _fairlead_v1_Policy, Policy__Output as _fairlead_v1_Policy__Output } from '../../fairlead/v1/Policy.ts';
import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../../google/protobuf/Timestamp.ts';

export interface GetPolicyResponse {
  'policy'?: (_fairlead_v1_Policy | null);
  'counted'?: (_google_protobuf_Timestamp | null);
}

export interface GetPolicyResponse__Output {
  'policy': (_fairlead_v1_Policy__Output | null);
  'counted': (_google_protobuf_Timestamp__Output | null);
}
