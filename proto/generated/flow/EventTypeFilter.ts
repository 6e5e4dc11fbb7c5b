// Original file: proto/hubble/flow/flow.proto


export interface EventTypeFilter {
  'type'?: (number);
  'matchSubType'?: (boolean);
  'subType'?: (number);
}

export interface EventTypeFilter__Output {
  'type': (number);
  'matchSubType': (boolean);
  'subType': (number);
}
