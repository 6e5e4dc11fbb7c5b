// Original file: proto/hubble/flow/flow.proto

import type { IPVersion as _flow_IPVersion, IPVersion__Output as _flow_IPVersion__Output } from '../flow/IPVersion.ts';

export interface IP {
  'source'?: (string);
  'destination'?: (string);
  'ipVersion'?: (_flow_IPVersion);
  'encrypted'?: (boolean);
  'sourceXlated'?: (string);
}

export interface IP__Output {
  'source': (string);
  'destination': (string);
  'ipVersion': (_flow_IPVersion__Output);
  'encrypted': (boolean);
  'sourceXlated': (string);
}
