// Original file: proto/hubble/observer/observer.proto


export interface Namespace {
  'cluster'?: (string);
  'namespace'?: (string);
}

export interface Namespace__Output {
  'cluster': (string);
  'namespace': (string);
}
