// Original file: proto/hubble/flow/flow.proto


export interface Ethernet {
  'source'?: (string);
  'destination'?: (string);
}

export interface Ethernet__Output {
  'source': (string);
  'destination': (string);
}
