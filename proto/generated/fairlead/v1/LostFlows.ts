// Original file: proto/fairlead/v1/agent.proto

import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../../google/protobuf/Timestamp.ts';
import type { Long } from '@grpc/proto-loader';

/**
 * In the place where the missing flows would have been; filters do not apply to it.
 */
export interface LostFlows {
  /**
   * kernel-ring, agent-queue, history
   */
  'source'?: (string);
  'count'?: (number | string | Long);
  'since'?: (_google_protobuf_Timestamp | null);
  'until'?: (_google_protobuf_Timestamp | null);
}

/**
 * In the place where the missing flows would have been; filters do not apply to it.
 */
export interface LostFlows__Output {
  /**
   * kernel-ring, agent-queue, history
   */
  'source': (string);
  'count': (number);
  'since': (_google_protobuf_Timestamp__Output | null);
  'until': (_google_protobuf_Timestamp__Output | null);
}
