// Original file: proto/fairlead/v1/agent.proto


export interface ListEndpointsRequest {
  'namespace'?: (string);
}

export interface ListEndpointsRequest__Output {
  'namespace': (string);
}
