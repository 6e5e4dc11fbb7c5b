// Original file: proto/fairlead/v1/agent.proto


export interface GetPolicyRequest {
  /**
   * NetworkPolicy or ClusterNetworkPolicy; empty = by whether there is a namespace.
   */
  'kind'?: (string);
  'namespace'?: (string);
  'name'?: (string);
}

export interface GetPolicyRequest__Output {
  /**
   * NetworkPolicy or ClusterNetworkPolicy; empty = by whether there is a namespace.
   */
  'kind': (string);
  'namespace': (string);
  'name': (string);
}
