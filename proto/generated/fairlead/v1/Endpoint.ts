// Original file: proto/fairlead/v1/agent.proto


/**
 * A pod attached to this node.
 */
export interface Endpoint {
  'id'?: (number);
  'namespace'?: (string);
  'pod'?: (string);
  'containerId'?: (string);
  'addresses'?: (string)[];
  'interface'?: (string);
  'ifindex'?: (number);
  'mac'?: (string);
  /**
   * ready, isolated, creating, deleting
   */
  'state'?: (string);
  'identity'?: (number);
}

/**
 * A pod attached to this node.
 */
export interface Endpoint__Output {
  'id': (number);
  'namespace': (string);
  'pod': (string);
  'containerId': (string);
  'addresses': (string)[];
  'interface': (string);
  'ifindex': (number);
  'mac': (string);
  /**
   * ready, isolated, creating, deleting
   */
  'state': (string);
  'identity': (number);
}
