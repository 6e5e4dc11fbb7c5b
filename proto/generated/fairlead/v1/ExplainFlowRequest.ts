// Original file: proto/fairlead/v1/agent.proto


export interface ExplainFlowRequest {
  /**
   * Address, namespace/name of a pod, `host` for this node; for destinations also service/namespace/name.
   */
  'source'?: (string);
  'destination'?: (string);
  'port'?: (number);
  /**
   * tcp, udp, sctp, icmp, icmpv6 or a number; empty = tcp.
   */
  'protocol'?: (string);
  /**
   * 0 = any.
   */
  'sourcePort'?: (number);
  /**
   * 4 or 6; 0 = IPv4 where both ends have it.
   */
  'ipVersion'?: (number);
}

export interface ExplainFlowRequest__Output {
  /**
   * Address, namespace/name of a pod, `host` for this node; for destinations also service/namespace/name.
   */
  'source': (string);
  'destination': (string);
  'port': (number);
  /**
   * tcp, udp, sctp, icmp, icmpv6 or a number; empty = tcp.
   */
  'protocol': (string);
  /**
   * 0 = any.
   */
  'sourcePort': (number);
  /**
   * 4 or 6; 0 = IPv4 where both ends have it.
   */
  'ipVersion': (number);
}
