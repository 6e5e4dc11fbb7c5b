// Original file: proto/hubble/flow/flow.proto

import type { LostEventSource as _flow_LostEventSource, LostEventSource__Output as _flow_LostEventSource__Output } from '../flow/LostEventSource.ts';
import type { Int32Value as _google_protobuf_Int32Value, Int32Value__Output as _google_protobuf_Int32Value__Output } from '../google/protobuf/Int32Value.ts';
import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../google/protobuf/Timestamp.ts';
import type { Long } from '@grpc/proto-loader';

export interface LostEvent {
  'source'?: (_flow_LostEventSource);
  'numEventsLost'?: (number | string | Long);
  'cpu'?: (_google_protobuf_Int32Value | null);
  'first'?: (_google_protobuf_Timestamp | null);
  'last'?: (_google_protobuf_Timestamp | null);
}

export interface LostEvent__Output {
  'source': (_flow_LostEventSource__Output);
  'numEventsLost': (number);
  'cpu': (_google_protobuf_Int32Value__Output | null);
  'first': (_google_protobuf_Timestamp__Output | null);
  'last': (_google_protobuf_Timestamp__Output | null);
}
