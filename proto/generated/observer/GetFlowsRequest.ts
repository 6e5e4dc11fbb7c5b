// Original file: proto/hubble/observer/observer.proto

import type { FlowFilter as _flow_FlowFilter, FlowFilter__Output as _flow_FlowFilter__Output } from '../flow/FlowFilter.ts';
import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../google/protobuf/Timestamp.ts';
import type { FieldMask as _google_protobuf_FieldMask, FieldMask__Output as _google_protobuf_FieldMask__Output } from '../google/protobuf/FieldMask.ts';
import type { Long } from '@grpc/proto-loader';

export interface GetFlowsRequest {
  'number'?: (number | string | Long);
  'follow'?: (boolean);
  'blacklist'?: (_flow_FlowFilter)[];
  'whitelist'?: (_flow_FlowFilter)[];
  'since'?: (_google_protobuf_Timestamp | null);
  'until'?: (_google_protobuf_Timestamp | null);
  'first'?: (boolean);
  'fieldMask'?: (_google_protobuf_FieldMask | null);
}

export interface GetFlowsRequest__Output {
  'number': (number);
  'follow': (boolean);
  'blacklist': (_flow_FlowFilter__Output)[];
  'whitelist': (_flow_FlowFilter__Output)[];
  'since': (_google_protobuf_Timestamp__Output | null);
  'until': (_google_protobuf_Timestamp__Output | null);
  'first': (boolean);
  'fieldMask': (_google_protobuf_FieldMask__Output | null);
}
