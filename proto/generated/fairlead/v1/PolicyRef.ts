// Original file: proto/fairlead/v1/agent.proto


export interface PolicyRef {
  /**
   * NetworkPolicy, ClusterNetworkPolicy
   */
  'kind'?: (string);
  /**
   * Empty for cluster policies.
   */
  'namespace'?: (string);
  'name'?: (string);
}

export interface PolicyRef__Output {
  /**
   * NetworkPolicy, ClusterNetworkPolicy
   */
  'kind': (string);
  /**
   * Empty for cluster policies.
   */
  'namespace': (string);
  'name': (string);
}
