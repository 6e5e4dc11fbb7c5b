// Original file: of protobuf


export interface StringValue {
  'value'?: (string);
}

export interface StringValue__Output {
  'value': (string);
}
