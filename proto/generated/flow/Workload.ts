// Original file: proto/hubble/flow/flow.proto


export interface Workload {
  'name'?: (string);
  'kind'?: (string);
}

export interface Workload__Output {
  'name': (string);
  'kind': (string);
}
