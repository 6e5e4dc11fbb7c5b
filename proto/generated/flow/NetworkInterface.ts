// Original file: proto/hubble/flow/flow.proto


export interface NetworkInterface {
  'index'?: (number);
  'name'?: (string);
}

export interface NetworkInterface__Output {
  'index': (number);
  'name': (string);
}
