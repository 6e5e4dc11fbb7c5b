// Original file: of protobuf


export interface FieldMask {
  'paths'?: (string)[];
}

export interface FieldMask__Output {
  'paths': (string)[];
}
