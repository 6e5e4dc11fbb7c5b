// Original file: proto/fairlead/v1/agent.proto

import type { PolicyTrace as _fairlead_v1_PolicyTrace, PolicyTrace__Output as _fairlead_v1_PolicyTrace__Output } from '../../fairlead/v1/PolicyTrace.ts';

export interface TracePolicyResponse {
  /**
   * Egress first; empty = neither end is a pod of this node.
   */
  'directions'?: (_fairlead_v1_PolicyTrace)[];
  'allowed'?: (boolean);
  'source'?: (string);
  'destination'?: (string);
}

export interface TracePolicyResponse__Output {
  /**
   * Egress first; empty = neither end is a pod of this node.
   */
  'directions': (_fairlead_v1_PolicyTrace__Output)[];
  'allowed': (boolean);
  'source': (string);
  'destination': (string);
}
