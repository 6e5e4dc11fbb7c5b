// Original file: proto/fairlead/v1/agent.proto


export interface TracePolicyRequest {
  /**
   * Address, or namespace/name of a pod.
   */
  'source'?: (string);
  'destination'?: (string);
  /**
   * tcp, udp, sctp, icmp, icmpv6 or a number; empty = tcp.
   */
  'protocol'?: (string);
  /**
   * After service translation; 0 for protocols without ports.
   */
  'port'?: (number);
  'viaService'?: (boolean);
  /**
   * 4 or 6; 0 = IPv4 where both pods have it.
   */
  'ipVersion'?: (number);
}

export interface TracePolicyRequest__Output {
  /**
   * Address, or namespace/name of a pod.
   */
  'source': (string);
  'destination': (string);
  /**
   * tcp, udp, sctp, icmp, icmpv6 or a number; empty = tcp.
   */
  'protocol': (string);
  /**
   * After service translation; 0 for protocols without ports.
   */
  'port': (number);
  'viaService': (boolean);
  /**
   * 4 or 6; 0 = IPv4 where both pods have it.
   */
  'ipVersion': (number);
}
