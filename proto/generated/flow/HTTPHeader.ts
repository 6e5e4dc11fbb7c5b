// Original file: proto/hubble/flow/flow.proto


export interface HTTPHeader {
  'key'?: (string);
  'value'?: (string);
}

export interface HTTPHeader__Output {
  'key': (string);
  'value': (string);
}
