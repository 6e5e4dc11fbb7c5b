// Original file: proto/fairlead/v1/agent.proto


export interface GetServiceRequest {
  'namespace'?: (string);
  'name'?: (string);
}

export interface GetServiceRequest__Output {
  'namespace': (string);
  'name': (string);
}
