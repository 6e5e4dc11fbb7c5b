// Original file: proto/hubble/flow/flow.proto


export interface SCTP {
  'sourcePort'?: (number);
  'destinationPort'?: (number);
}

export interface SCTP__Output {
  'sourcePort': (number);
  'destinationPort': (number);
}
