// Original file: proto/fairlead/v1/agent.proto

import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../../google/protobuf/Timestamp.ts';
import type { FlowKind as _fairlead_v1_FlowKind, FlowKind__Output as _fairlead_v1_FlowKind__Output } from '../../fairlead/v1/FlowKind.ts';
import type { Verdict as _fairlead_v1_Verdict, Verdict__Output as _fairlead_v1_Verdict__Output } from '../../fairlead/v1/Verdict.ts';
import type { Peer as _fairlead_v1_Peer, Peer__Output as _fairlead_v1_Peer__Output } from '../../fairlead/v1/Peer.ts';
import type { TrafficDirection as _fairlead_v1_TrafficDirection, TrafficDirection__Output as _fairlead_v1_TrafficDirection__Output } from '../../fairlead/v1/TrafficDirection.ts';
import type { FlowTotals as _fairlead_v1_FlowTotals, FlowTotals__Output as _fairlead_v1_FlowTotals__Output } from '../../fairlead/v1/FlowTotals.ts';
import type { FlowPolicy as _fairlead_v1_FlowPolicy, FlowPolicy__Output as _fairlead_v1_FlowPolicy__Output } from '../../fairlead/v1/FlowPolicy.ts';

export interface Flow {
  'time'?: (_google_protobuf_Timestamp | null);
  'nodeName'?: (string);
  'kind'?: (_fairlead_v1_FlowKind);
  'verdict'?: (_fairlead_v1_Verdict);
  'protocol'?: (string);
  'ipVersion'?: (number);
  'source'?: (_fairlead_v1_Peer | null);
  /**
   * After translation.
   */
  'destination'?: (_fairlead_v1_Peer | null);
  /**
   * What the client addressed; absent = the destination itself.
   */
  'originalDestination'?: (_fairlead_v1_Peer | null);
  'dropReason'?: (string);
  'dropText'?: (string);
  'reply'?: (boolean);
  'direction'?: (_fairlead_v1_TrafficDirection);
  /**
   * Name of the hook that saw it, lower case.
   */
  'hook'?: (string);
  'ifindex'?: (number);
  'tcpFlags'?: (string)[];
  'icmpType'?: (number);
  'icmpCode'?: (number);
  /**
   * IP bytes of the packet that caused the record; 0 for closed flows.
   */
  'packetBytes'?: (number);
  /**
   * Only for closed flows.
   */
  'totals'?: (_fairlead_v1_FlowTotals | null);
  'summary'?: (string);
  /**
   * What policy said of the side that began the flow, and of the side that was addressed; absent = no policy restricts it, or this
   * node does not judge it.
   */
  'egressPolicy'?: (_fairlead_v1_FlowPolicy | null);
  'ingressPolicy'?: (_fairlead_v1_FlowPolicy | null);
}

export interface Flow__Output {
  'time': (_google_protobuf_Timestamp__Output | null);
  'nodeName': (string);
  'kind': (_fairlead_v1_FlowKind__Output);
  'verdict': (_fairlead_v1_Verdict__Output);
  'protocol': (string);
  'ipVersion': (number);
  'source': (_fairlead_v1_Peer__Output | null);
  /**
   * After translation.
   */
  'destination': (_fairlead_v1_Peer__Output | null);
  /**
   * What the client addressed; absent = the destination itself.
   */
  'originalDestination': (_fairlead_v1_Peer__Output | null);
  'dropReason': (string);
  'dropText': (string);
  'reply': (boolean);
  'direction': (_fairlead_v1_TrafficDirection__Output);
  /**
   * Name of the hook that saw it, lower case.
   */
  'hook': (string);
  'ifindex': (number);
  'tcpFlags': (string)[];
  'icmpType': (number);
  'icmpCode': (number);
  /**
   * IP bytes of the packet that caused the record; 0 for closed flows.
   */
  'packetBytes': (number);
  /**
   * Only for closed flows.
   */
  'totals': (_fairlead_v1_FlowTotals__Output | null);
  'summary': (string);
  /**
   * What policy said of the side that began the flow, and of the side that was addressed; absent = no policy restricts it, or this
   * node does not judge it.
   */
  'egressPolicy': (_fairlead_v1_FlowPolicy__Output | null);
  'ingressPolicy': (_fairlead_v1_FlowPolicy__Output | null);
}
