// Original file: proto/fairlead/v1/agent.proto

import type { Long } from '@grpc/proto-loader';

export interface DropCount {
  'number'?: (number);
  'reason'?: (string);
  'packets'?: (number | string | Long);
  'bytes'?: (number | string | Long);
  'text'?: (string);
  'remedy'?: (string);
}

export interface DropCount__Output {
  'number': (number);
  'reason': (string);
  'packets': (number);
  'bytes': (number);
  'text': (string);
  'remedy': (string);
}
