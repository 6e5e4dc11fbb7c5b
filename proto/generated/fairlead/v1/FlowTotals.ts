// Original file: proto/fairlead/v1/agent.proto

import type { Long } from '@grpc/proto-loader';

export interface FlowTotals {
  'packetsForward'?: (number | string | Long);
  'packetsReply'?: (number | string | Long);
  'bytesForward'?: (number | string | Long);
  'bytesReply'?: (number | string | Long);
}

export interface FlowTotals__Output {
  'packetsForward': (number);
  'packetsReply': (number);
  'bytesForward': (number);
  'bytesReply': (number);
}
