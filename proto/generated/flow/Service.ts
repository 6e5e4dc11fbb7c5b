// Original file: proto/hubble/flow/flow.proto


export interface Service {
  'name'?: (string);
  'namespace'?: (string);
}

export interface Service__Output {
  'name': (string);
  'namespace': (string);
}
