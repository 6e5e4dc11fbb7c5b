// Original file: proto/fairlead/v1/agent.proto

import type { Long } from '@grpc/proto-loader';

export interface FlowStatus {
  'held'?: (number | string | Long);
  'capacity'?: (number | string | Long);
  'seen'?: (number | string | Long);
  /**
   * Events that never reached the history, by cause.
   */
  'lostKernel'?: (number | string | Long);
  'lostQueue'?: (number | string | Long);
  'rateLimited'?: (number | string | Long);
  'subscribers'?: (number);
}

export interface FlowStatus__Output {
  'held': (number);
  'capacity': (number);
  'seen': (number);
  /**
   * Events that never reached the history, by cause.
   */
  'lostKernel': (number);
  'lostQueue': (number);
  'rateLimited': (number);
  'subscribers': (number);
}
