// Original file: proto/hubble/flow/flow.proto


export interface Emitter {
  'name'?: (string);
  'version'?: (string);
}

export interface Emitter__Output {
  'name': (string);
  'version': (string);
}
