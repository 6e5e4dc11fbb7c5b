// Original file: proto/fairlead/v1/agent.proto

import type { Backend as _fairlead_v1_Backend, Backend__Output as _fairlead_v1_Backend__Output } from '../../fairlead/v1/Backend.ts';

/**
 * One address and port that is translated, and where to.
 */
export interface Frontend {
  'id'?: (number);
  'address'?: (string);
  'port'?: (number);
  'protocol'?: (string);
  'portName'?: (string);
  /**
   * cluster, external
   */
  'scope'?: (string);
  'backends'?: (_fairlead_v1_Backend)[];
}

/**
 * One address and port that is translated, and where to.
 */
export interface Frontend__Output {
  'id': (number);
  'address': (string);
  'port': (number);
  'protocol': (string);
  'portName': (string);
  /**
   * cluster, external
   */
  'scope': (string);
  'backends': (_fairlead_v1_Backend__Output)[];
}
