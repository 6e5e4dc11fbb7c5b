// Original file: proto/fairlead/v1/agent.proto


export interface Backend {
  'address'?: (string);
  'port'?: (number);
  /**
   * active; terminating: it keeps the connections it has and gets new ones only if no other is ready
   */
  'state'?: (string);
  'nodeName'?: (string);
  /**
   * Empty when no pod with this address is known.
   */
  'namespace'?: (string);
  'pod'?: (string);
  'local'?: (boolean);
}

export interface Backend__Output {
  'address': (string);
  'port': (number);
  /**
   * active; terminating: it keeps the connections it has and gets new ones only if no other is ready
   */
  'state': (string);
  'nodeName': (string);
  /**
   * Empty when no pod with this address is known.
   */
  'namespace': (string);
  'pod': (string);
  'local': (boolean);
}
