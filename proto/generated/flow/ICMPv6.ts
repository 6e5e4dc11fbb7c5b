// Original file: proto/hubble/flow/flow.proto


export interface ICMPv6 {
  'type'?: (number);
  'code'?: (number);
}

export interface ICMPv6__Output {
  'type': (number);
  'code': (number);
}
