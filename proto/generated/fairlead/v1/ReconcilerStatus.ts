// Original file: proto/fairlead/v1/agent.proto

import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../../google/protobuf/Timestamp.ts';
import type { Long } from '@grpc/proto-loader';

export interface ReconcilerStatus {
  'name'?: (string);
  'runs'?: (number | string | Long);
  'failures'?: (number | string | Long);
  'lastSuccess'?: (_google_protobuf_Timestamp | null);
  /**
   * Empty = the last run succeeded.
   */
  'lastError'?: (string);
}

export interface ReconcilerStatus__Output {
  'name': (string);
  'runs': (number);
  'failures': (number);
  'lastSuccess': (_google_protobuf_Timestamp__Output | null);
  /**
   * Empty = the last run succeeded.
   */
  'lastError': (string);
}
