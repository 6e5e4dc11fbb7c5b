// Original file: proto/hubble/flow/flow.proto

import type { TCPFlags as _flow_TCPFlags, TCPFlags__Output as _flow_TCPFlags__Output } from '../flow/TCPFlags.ts';

export interface TCP {
  'sourcePort'?: (number);
  'destinationPort'?: (number);
  'flags'?: (_flow_TCPFlags | null);
}

export interface TCP__Output {
  'sourcePort': (number);
  'destinationPort': (number);
  'flags': (_flow_TCPFlags__Output | null);
}
