// Original file: proto/hubble/observer/observer.proto


export interface TLS {
  'enabled'?: (boolean);
  'serverName'?: (string);
}

export interface TLS__Output {
  'enabled': (boolean);
  'serverName': (string);
}
