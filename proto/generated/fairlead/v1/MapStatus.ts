// Original file: proto/fairlead/v1/agent.proto

import type { Long } from '@grpc/proto-loader';

export interface MapStatus {
  'name'?: (string);
  /**
   * Absent when counting would mean to walk the whole map.
   */
  'entries'?: (number | string | Long);
  'capacity'?: (number | string | Long);
  /**
   * Memory of the kernel for this map.
   */
  'bytes'?: (number | string | Long);
  '_entries'?: "entries";
}

export interface MapStatus__Output {
  'name': (string);
  /**
   * Absent when counting would mean to walk the whole map.
   */
  'entries'?: (number);
  'capacity': (number);
  /**
   * Memory of the kernel for this map.
   */
  'bytes': (number);
  '_entries'?: "entries";
}
