// Original file: proto/fairlead/v1/agent.proto


export interface Node {
  'name'?: (string);
  'addresses'?: (string)[];
  'podCidrs'?: (string)[];
  /**
   * local, direct, vxlan
   */
  'routing'?: (string);
  'mtu'?: (number);
  'index'?: (number);
}

export interface Node__Output {
  'name': (string);
  'addresses': (string)[];
  'podCidrs': (string)[];
  /**
   * local, direct, vxlan
   */
  'routing': (string);
  'mtu': (number);
  'index': (number);
}
