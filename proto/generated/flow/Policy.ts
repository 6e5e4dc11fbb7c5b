// Original file: proto/hubble/flow/flow.proto

import type { Long } from '@grpc/proto-loader';

export interface Policy {
  'name'?: (string);
  'namespace'?: (string);
  'labels'?: (string)[];
  'revision'?: (number | string | Long);
  'kind'?: (string);
}

export interface Policy__Output {
  'name': (string);
  'namespace': (string);
  'labels': (string)[];
  'revision': (number);
  'kind': (string);
}
