// Original file: proto/hubble/flow/flow.proto

import type { Verdict as _flow_Verdict, Verdict__Output as _flow_Verdict__Output } from '../flow/Verdict.ts';
import type { EventTypeFilter as _flow_EventTypeFilter, EventTypeFilter__Output as _flow_EventTypeFilter__Output } from '../flow/EventTypeFilter.ts';
import type { TCPFlags as _flow_TCPFlags, TCPFlags__Output as _flow_TCPFlags__Output } from '../flow/TCPFlags.ts';
import type { IPVersion as _flow_IPVersion, IPVersion__Output as _flow_IPVersion__Output } from '../flow/IPVersion.ts';
import type { Workload as _flow_Workload, Workload__Output as _flow_Workload__Output } from '../flow/Workload.ts';
import type { TrafficDirection as _flow_TrafficDirection, TrafficDirection__Output as _flow_TrafficDirection__Output } from '../flow/TrafficDirection.ts';
import type { HTTPHeader as _flow_HTTPHeader, HTTPHeader__Output as _flow_HTTPHeader__Output } from '../flow/HTTPHeader.ts';
import type { NetworkInterface as _flow_NetworkInterface, NetworkInterface__Output as _flow_NetworkInterface__Output } from '../flow/NetworkInterface.ts';
import type { Long } from '@grpc/proto-loader';

export interface _flow_FlowFilter_Experimental {
  'celExpression'?: (string)[];
}

export interface _flow_FlowFilter_Experimental__Output {
  'celExpression': (string)[];
}

/**
 * All fields that are set must match; a repeated field matches when one of its values does.
 */
export interface FlowFilter {
  'sourceIp'?: (string)[];
  'sourcePod'?: (string)[];
  'destinationIp'?: (string)[];
  'destinationPod'?: (string)[];
  'verdict'?: (_flow_Verdict)[];
  'eventType'?: (_flow_EventTypeFilter)[];
  'sourceFqdn'?: (string)[];
  'destinationFqdn'?: (string)[];
  'httpStatusCode'?: (string)[];
  'sourceLabel'?: (string)[];
  'destinationLabel'?: (string)[];
  'protocol'?: (string)[];
  'sourcePort'?: (string)[];
  'destinationPort'?: (string)[];
  'reply'?: (boolean)[];
  'sourceService'?: (string)[];
  'destinationService'?: (string)[];
  'dnsQuery'?: (string)[];
  'sourceIdentity'?: (number)[];
  'destinationIdentity'?: (number)[];
  'httpMethod'?: (string)[];
  'httpPath'?: (string)[];
  'tcpFlags'?: (_flow_TCPFlags)[];
  'nodeName'?: (string)[];
  'ipVersion'?: (_flow_IPVersion)[];
  'sourceWorkload'?: (_flow_Workload)[];
  'destinationWorkload'?: (_flow_Workload)[];
  'traceId'?: (string)[];
  'uuid'?: (string)[];
  'trafficDirection'?: (_flow_TrafficDirection)[];
  'httpUrl'?: (string)[];
  'httpHeader'?: (_flow_HTTPHeader)[];
  'dropReasonDesc'?: (number)[];
  'sourceIpXlated'?: (string)[];
  'interface'?: (_flow_NetworkInterface)[];
  'nodeLabels'?: (string)[];
  'sourceClusterName'?: (string)[];
  'destinationClusterName'?: (string)[];
  'ipTraceId'?: (number | string | Long)[];
  'encrypted'?: (boolean)[];
  'experimental'?: (_flow_FlowFilter_Experimental | null);
}

/**
 * All fields that are set must match; a repeated field matches when one of its values does.
 */
export interface FlowFilter__Output {
  'sourceIp': (string)[];
  'sourcePod': (string)[];
  'destinationIp': (string)[];
  'destinationPod': (string)[];
  'verdict': (_flow_Verdict__Output)[];
  'eventType': (_flow_EventTypeFilter__Output)[];
  'sourceFqdn': (string)[];
  'destinationFqdn': (string)[];
  'httpStatusCode': (string)[];
  'sourceLabel': (string)[];
  'destinationLabel': (string)[];
  'protocol': (string)[];
  'sourcePort': (string)[];
  'destinationPort': (string)[];
  'reply': (boolean)[];
  'sourceService': (string)[];
  'destinationService': (string)[];
  'dnsQuery': (string)[];
  'sourceIdentity': (number)[];
  'destinationIdentity': (number)[];
  'httpMethod': (string)[];
  'httpPath': (string)[];
  'tcpFlags': (_flow_TCPFlags__Output)[];
  'nodeName': (string)[];
  'ipVersion': (_flow_IPVersion__Output)[];
  'sourceWorkload': (_flow_Workload__Output)[];
  'destinationWorkload': (_flow_Workload__Output)[];
  'traceId': (string)[];
  'uuid': (string)[];
  'trafficDirection': (_flow_TrafficDirection__Output)[];
  'httpUrl': (string)[];
  'httpHeader': (_flow_HTTPHeader__Output)[];
  'dropReasonDesc': (number)[];
  'sourceIpXlated': (string)[];
  'interface': (_flow_NetworkInterface__Output)[];
  'nodeLabels': (string)[];
  'sourceClusterName': (string)[];
  'destinationClusterName': (string)[];
  'ipTraceId': (number)[];
  'encrypted': (boolean)[];
  'experimental': (_flow_FlowFilter_Experimental__Output | null);
}
