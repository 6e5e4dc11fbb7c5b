// Original file: proto/hubble/flow/flow.proto


export interface CiliumEventType {
  'type'?: (number);
  'subType'?: (number);
}

export interface CiliumEventType__Output {
  'type': (number);
  'subType': (number);
}
