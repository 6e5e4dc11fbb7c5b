// Original file: proto/fairlead/v1/agent.proto

import type { PeerKind as _fairlead_v1_PeerKind, PeerKind__Output as _fairlead_v1_PeerKind__Output } from '../../fairlead/v1/PeerKind.ts';

export interface Peer {
  'address'?: (string);
  'port'?: (number);
  'kind'?: (_fairlead_v1_PeerKind);
  'namespace'?: (string);
  /**
   * Of the pod, service or node.
   */
  'name'?: (string);
  'labels'?: (string)[];
  'identity'?: (number);
}

export interface Peer__Output {
  'address': (string);
  'port': (number);
  'kind': (_fairlead_v1_PeerKind__Output);
  'namespace': (string);
  /**
   * Of the pod, service or node.
   */
  'name': (string);
  'labels': (string)[];
  'identity': (number);
}
