// Original file: proto/fairlead/v1/agent.proto

import type { Long } from '@grpc/proto-loader';

export interface PolicyCounters {
  /**
   * Flows now open that the rule allowed, or let through in audit mode.
   */
  'flows'?: (number | string | Long);
  /**
   * Of those and of all that ended, since the agent started; both directions.
   */
  'allowedPackets'?: (number | string | Long);
  'allowedBytes'?: (number | string | Long);
  /**
   * Dropped, or in audit mode let through although it would be dropped; since the maps were made.
   */
  'deniedPackets'?: (number | string | Long);
  'deniedBytes'?: (number | string | Long);
}

export interface PolicyCounters__Output {
  /**
   * Flows now open that the rule allowed, or let through in audit mode.
   */
  'flows': (number);
  /**
   * Of those and of all that ended, since the agent started; both directions.
   */
  'allowedPackets': (number);
  'allowedBytes': (number);
  /**
   * Dropped, or in audit mode let through although it would be dropped; since the maps were made.
   */
  'deniedPackets': (number);
  'deniedBytes': (number);
}
