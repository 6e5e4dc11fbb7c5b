// Original file: proto/fairlead/v1/agent.proto

import type { FlowFilter as _fairlead_v1_FlowFilter, FlowFilter__Output as _fairlead_v1_FlowFilter__Output } from '../../fairlead/v1/FlowFilter.ts';
import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../../google/protobuf/Timestamp.ts';
import type { Long } from '@grpc/proto-loader';

export interface ObserveFlowsRequest {
  /**
   * A flow is shown when it matches one of `include` (or there is none) and none of `exclude`.
   */
  'include'?: (_fairlead_v1_FlowFilter)[];
  'exclude'?: (_fairlead_v1_FlowFilter)[];
  /**
   * At most so many flows of the history; 0 = all of it, or none with `follow` and without `since`.
   */
  'number'?: (number | string | Long);
  /**
   * Count `number` from the oldest flow, not from the newest. Not together with `follow`.
   */
  'first'?: (boolean);
  'since'?: (_google_protobuf_Timestamp | null);
  'until'?: (_google_protobuf_Timestamp | null);
  'follow'?: (boolean);
}

export interface ObserveFlowsRequest__Output {
  /**
   * A flow is shown when it matches one of `include` (or there is none) and none of `exclude`.
   */
  'include': (_fairlead_v1_FlowFilter__Output)[];
  'exclude': (_fairlead_v1_FlowFilter__Output)[];
  /**
   * At most so many flows of the history; 0 = all of it, or none with `follow` and without `since`.
   */
  'number': (number);
  /**
   * Count `number` from the oldest flow, not from the newest. Not together with `follow`.
   */
  'first': (boolean);
  'since': (_google_protobuf_Timestamp__Output | null);
  'until': (_google_protobuf_Timestamp__Output | null);
  'follow': (boolean);
}
