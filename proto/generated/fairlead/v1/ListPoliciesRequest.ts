// Original file: proto/fairlead/v1/agent.proto


export interface ListPoliciesRequest {
  /**
   * Empty = all namespaces and cluster policies.
   */
  'namespace'?: (string);
}

export interface ListPoliciesRequest__Output {
  /**
   * Empty = all namespaces and cluster policies.
   */
  'namespace': (string);
}
