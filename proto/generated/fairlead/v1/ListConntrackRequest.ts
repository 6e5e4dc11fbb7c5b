// Original file: proto/fairlead/v1/agent.proto


export interface ListConntrackRequest {
  /**
   * Address or CIDR of either end or of the translation; empty = any.
   */
  'address'?: (string);
  /**
   * Either end's port; 0 = any.
   */
  'port'?: (number);
  /**
   * tcp, udp, sctp, icmp, icmpv6; empty = any.
   */
  'protocol'?: (string);
  /**
   * 0 = no limit.
   */
  'limit'?: (number);
}

export interface ListConntrackRequest__Output {
  /**
   * Address or CIDR of either end or of the translation; empty = any.
   */
  'address': (string);
  /**
   * Either end's port; 0 = any.
   */
  'port': (number);
  /**
   * tcp, udp, sctp, icmp, icmpv6; empty = any.
   */
  'protocol': (string);
  /**
   * 0 = no limit.
   */
  'limit': (number);
}
