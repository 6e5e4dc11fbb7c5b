// Original file: proto/hubble/observer/observer.proto

import type { UInt32Value as _google_protobuf_UInt32Value, UInt32Value__Output as _google_protobuf_UInt32Value__Output } from '../google/protobuf/UInt32Value.ts';
import type { Long } from '@grpc/proto-loader';

export interface ServerStatusResponse {
  'numFlows'?: (number | string | Long);
  'maxFlows'?: (number | string | Long);
  'seenFlows'?: (number | string | Long);
  'uptimeNs'?: (number | string | Long);
  'numConnectedNodes'?: (_google_protobuf_UInt32Value | null);
  'numUnavailableNodes'?: (_google_protobuf_UInt32Value | null);
  'unavailableNodes'?: (string)[];
  'version'?: (string);
  'flowsRate'?: (number | string);
}

export interface ServerStatusResponse__Output {
  'numFlows': (number);
  'maxFlows': (number);
  'seenFlows': (number);
  'uptimeNs': (number);
  'numConnectedNodes': (_google_protobuf_UInt32Value__Output | null);
  'numUnavailableNodes': (_google_protobuf_UInt32Value__Output | null);
  'unavailableNodes': (string)[];
  'version': (string);
  'flowsRate': (number);
}
