// Original file: proto/hubble/flow/flow.proto


export interface UDP {
  'sourcePort'?: (number);
  'destinationPort'?: (number);
}

export interface UDP__Output {
  'sourcePort': (number);
  'destinationPort': (number);
}
