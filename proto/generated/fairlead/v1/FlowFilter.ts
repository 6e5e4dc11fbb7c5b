// Original file: proto/fairlead/v1/agent.proto

import type { Verdict as _fairlead_v1_Verdict, Verdict__Output as _fairlead_v1_Verdict__Output } from '../../fairlead/v1/Verdict.ts';
import type { FlowKind as _fairlead_v1_FlowKind, FlowKind__Output as _fairlead_v1_FlowKind__Output } from '../../fairlead/v1/FlowKind.ts';
import type { TrafficDirection as _fairlead_v1_TrafficDirection, TrafficDirection__Output as _fairlead_v1_TrafficDirection__Output } from '../../fairlead/v1/TrafficDirection.ts';

/**
 * All fields that are set must match; a repeated field matches when one of its values does.
 * `pod`, `ip`, `port`, ... mean either end, `source_*` and `destination_*` one of them.
 */
export interface FlowFilter {
  /**
   * [namespace/]name-prefix; `namespace/` alone = every pod of it.
   */
  'pod'?: (string)[];
  'namespace'?: (string)[];
  /**
   * Address or CIDR; the address before translation counts too.
   */
  'ip'?: (string)[];
  'port'?: (number)[];
  /**
   * tcp, udp, sctp, icmp (both), icmpv4, icmpv6
   */
  'protocol'?: (string)[];
  'verdict'?: (_fairlead_v1_Verdict)[];
  /**
   * Name of a drop reason as `ListDrops` shows it, in any case, with - or _.
   */
  'reason'?: (string)[];
  /**
   * [namespace/]name-prefix
   */
  'service'?: (string)[];
  /**
   * Selector over "key=value" pod labels: key=value, key!=value, key, !key, key in (a,b), key notin (a,b); comma = and.
   */
  'label'?: (string)[];
  'kind'?: (_fairlead_v1_FlowKind)[];
  'reply'?: (boolean);
  'sourcePod'?: (string)[];
  'destinationPod'?: (string)[];
  'sourceIp'?: (string)[];
  'destinationIp'?: (string)[];
  'sourcePort'?: (number)[];
  'destinationPort'?: (number)[];
  'sourceLabel'?: (string)[];
  'destinationLabel'?: (string)[];
  'direction'?: (_fairlead_v1_TrafficDirection)[];
  /**
   * 4 or 6
   */
  'ipVersion'?: (number)[];
  /**
   * Names of TCP flags joined by `+` or `,`: all of them must be set in the packet.
   */
  'tcpFlags'?: (string)[];
  '_reply'?: "reply";
}

/**
 * All fields that are set must match; a repeated field matches when one of its values does.
 * `pod`, `ip`, `port`, ... mean either end, `source_*` and `destination_*` one of them.
 */
export interface FlowFilter__Output {
  /**
   * [namespace/]name-prefix; `namespace/` alone = every pod of it.
   */
  'pod': (string)[];
  'namespace': (string)[];
  /**
   * Address or CIDR; the address before translation counts too.
   */
  'ip': (string)[];
  'port': (number)[];
  /**
   * tcp, udp, sctp, icmp (both), icmpv4, icmpv6
   */
  'protocol': (string)[];
  'verdict': (_fairlead_v1_Verdict__Output)[];
  /**
   * Name of a drop reason as `ListDrops` shows it, in any case, with - or _.
   */
  'reason': (string)[];
  /**
   * [namespace/]name-prefix
   */
  'service': (string)[];
  /**
   * Selector over "key=value" pod labels: key=value, key!=value, key, !key, key in (a,b), key notin (a,b); comma = and.
   */
  'label': (string)[];
  'kind': (_fairlead_v1_FlowKind__Output)[];
  'reply'?: (boolean);
  'sourcePod': (string)[];
  'destinationPod': (string)[];
  'sourceIp': (string)[];
  'destinationIp': (string)[];
  'sourcePort': (number)[];
  'destinationPort': (number)[];
  'sourceLabel': (string)[];
  'destinationLabel': (string)[];
  'direction': (_fairlead_v1_TrafficDirection__Output)[];
  /**
   * 4 or 6
   */
  'ipVersion': (number)[];
  /**
   * Names of TCP flags joined by `+` or `,`: all of them must be set in the packet.
   */
  'tcpFlags': (string)[];
  '_reply'?: "reply";
}
