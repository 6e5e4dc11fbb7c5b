// Original file: proto/hubble/flow/flow.proto


export interface ICMPv4 {
  'type'?: (number);
  'code'?: (number);
}

export interface ICMPv4__Output {
  'type': (number);
  'code': (number);
}
