// Original file: proto/fairlead/v1/agent.proto


export interface ListServicesRequest {
  /**
   * Empty = all namespaces.
   */
  'namespace'?: (string);
}

export interface ListServicesRequest__Output {
  /**
   * Empty = all namespaces.
   */
  'namespace': (string);
}
