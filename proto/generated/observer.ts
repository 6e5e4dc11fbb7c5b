import type * as grpc from '@grpc/grpc-js';
import type { EnumTypeDefinition, MessageTypeDefinition } from '@grpc/proto-loader';

import type { CiliumEventType as _flow_CiliumEventType, CiliumEventType__Output as _flow_CiliumEventType__Output } from './flow/CiliumEventType.ts';
import type { Emitter as _flow_Emitter, Emitter__Output as _flow_Emitter__Output } from './flow/Emitter.ts';
import type { Endpoint as _flow_Endpoint, Endpoint__Output as _flow_Endpoint__Output } from './flow/Endpoint.ts';
import type { Ethernet as _flow_Ethernet, Ethernet__Output as _flow_Ethernet__Output } from './flow/Ethernet.ts';
import type { EventTypeFilter as _flow_EventTypeFilter, EventTypeFilter__Output as _flow_EventTypeFilter__Output } from './flow/EventTypeFilter.ts';
import type { Flow as _flow_Flow, Flow__Output as _flow_Flow__Output } from './flow/Flow.ts';
import type { FlowFilter as _flow_FlowFilter, FlowFilter__Output as _flow_FlowFilter__Output } from './flow/FlowFilter.ts';
import type { HTTPHeader as _flow_HTTPHeader, HTTPHeader__Output as _flow_HTTPHeader__Output } from './flow/HTTPHeader.ts';
import type { ICMPv4 as _flow_ICMPv4, ICMPv4__Output as _flow_ICMPv4__Output } from './flow/ICMPv4.ts';
import type { ICMPv6 as _flow_ICMPv6, ICMPv6__Output as _flow_ICMPv6__Output } from './flow/ICMPv6.ts';
import type { IP as _flow_IP, IP__Output as _flow_IP__Output } from './flow/IP.ts';
import type { Layer4 as _flow_Layer4, Layer4__Output as _flow_Layer4__Output } from './flow/Layer4.ts';
import type { LostEvent as _flow_LostEvent, LostEvent__Output as _flow_LostEvent__Output } from './flow/LostEvent.ts';
import type { NetworkInterface as _flow_NetworkInterface, NetworkInterface__Output as _flow_NetworkInterface__Output } from './flow/NetworkInterface.ts';
import type { Policy as _flow_Policy, Policy__Output as _flow_Policy__Output } from './flow/Policy.ts';
import type { SCTP as _flow_SCTP, SCTP__Output as _flow_SCTP__Output } from './flow/SCTP.ts';
import type { Service as _flow_Service, Service__Output as _flow_Service__Output } from './flow/Service.ts';
import type { TCP as _flow_TCP, TCP__Output as _flow_TCP__Output } from './flow/TCP.ts';
import type { TCPFlags as _flow_TCPFlags, TCPFlags__Output as _flow_TCPFlags__Output } from './flow/TCPFlags.ts';
import type { Tunnel as _flow_Tunnel, Tunnel__Output as _flow_Tunnel__Output } from './flow/Tunnel.ts';
import type { UDP as _flow_UDP, UDP__Output as _flow_UDP__Output } from './flow/UDP.ts';
import type { Workload as _flow_Workload, Workload__Output as _flow_Workload__Output } from './flow/Workload.ts';
import type { BoolValue as _google_protobuf_BoolValue, BoolValue__Output as _google_protobuf_BoolValue__Output } from './google/protobuf/BoolValue.ts';
import type { BytesValue as _google_protobuf_BytesValue, BytesValue__Output as _google_protobuf_BytesValue__Output } from './google/protobuf/BytesValue.ts';
import type { DoubleValue as _google_protobuf_DoubleValue, DoubleValue__Output as _google_protobuf_DoubleValue__Output } from './google/protobuf/DoubleValue.ts';
import type { FieldMask as _google_protobuf_FieldMask, FieldMask__Output as _google_protobuf_FieldMask__Output } from './google/protobuf/FieldMask.ts';
import type { FloatValue as _google_protobuf_FloatValue, FloatValue__Output as _google_protobuf_FloatValue__Output } from './google/protobuf/FloatValue.ts';
import type { Int32Value as _google_protobuf_Int32Value, Int32Value__Output as _google_protobuf_Int32Value__Output } from './google/protobuf/Int32Value.ts';
import type { Int64Value as _google_protobuf_Int64Value, Int64Value__Output as _google_protobuf_Int64Value__Output } from './google/protobuf/Int64Value.ts';
import type { StringValue as _google_protobuf_StringValue, StringValue__Output as _google_protobuf_StringValue__Output } from './google/protobuf/StringValue.ts';
import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from './google/protobuf/Timestamp.ts';
import type { UInt32Value as _google_protobuf_UInt32Value, UInt32Value__Output as _google_protobuf_UInt32Value__Output } from './google/protobuf/UInt32Value.ts';
import type { UInt64Value as _google_protobuf_UInt64Value, UInt64Value__Output as _google_protobuf_UInt64Value__Output } from './google/protobuf/UInt64Value.ts';
import type { GetFlowsRequest as _observer_GetFlowsRequest, GetFlowsRequest__Output as _observer_GetFlowsRequest__Output } from './observer/GetFlowsRequest.ts';
import type { GetFlowsResponse as _observer_GetFlowsResponse, GetFlowsResponse__Output as _observer_GetFlowsResponse__Output } from './observer/GetFlowsResponse.ts';
import type { GetNamespacesRequest as _observer_GetNamespacesRequest, GetNamespacesRequest__Output as _observer_GetNamespacesRequest__Output } from './observer/GetNamespacesRequest.ts';
import type { GetNamespacesResponse as _observer_GetNamespacesResponse, GetNamespacesResponse__Output as _observer_GetNamespacesResponse__Output } from './observer/GetNamespacesResponse.ts';
import type { GetNodesRequest as _observer_GetNodesRequest, GetNodesRequest__Output as _observer_GetNodesRequest__Output } from './observer/GetNodesRequest.ts';
import type { GetNodesResponse as _observer_GetNodesResponse, GetNodesResponse__Output as _observer_GetNodesResponse__Output } from './observer/GetNodesResponse.ts';
import type { Namespace as _observer_Namespace, Namespace__Output as _observer_Namespace__Output } from './observer/Namespace.ts';
import type { Node as _observer_Node, Node__Output as _observer_Node__Output } from './observer/Node.ts';
import type { ObserverClient as _observer_ObserverClient, ObserverDefinition as _observer_ObserverDefinition } from './observer/Observer.ts';
import type { ServerStatusRequest as _observer_ServerStatusRequest, ServerStatusRequest__Output as _observer_ServerStatusRequest__Output } from './observer/ServerStatusRequest.ts';
import type { ServerStatusResponse as _observer_ServerStatusResponse, ServerStatusResponse__Output as _observer_ServerStatusResponse__Output } from './observer/ServerStatusResponse.ts';
import type { TLS as _observer_TLS, TLS__Output as _observer_TLS__Output } from './observer/TLS.ts';
import type { NodeStatusEvent as _relay_NodeStatusEvent, NodeStatusEvent__Output as _relay_NodeStatusEvent__Output } from './relay/NodeStatusEvent.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  flow: {
    CiliumEventType: MessageTypeDefinition<_flow_CiliumEventType, _flow_CiliumEventType__Output>
    Emitter: MessageTypeDefinition<_flow_Emitter, _flow_Emitter__Output>
    Endpoint: MessageTypeDefinition<_flow_Endpoint, _flow_Endpoint__Output>
    Ethernet: MessageTypeDefinition<_flow_Ethernet, _flow_Ethernet__Output>
    EventTypeFilter: MessageTypeDefinition<_flow_EventTypeFilter, _flow_EventTypeFilter__Output>
    Flow: MessageTypeDefinition<_flow_Flow, _flow_Flow__Output>
    FlowFilter: MessageTypeDefinition<_flow_FlowFilter, _flow_FlowFilter__Output>
    FlowType: EnumTypeDefinition
    HTTPHeader: MessageTypeDefinition<_flow_HTTPHeader, _flow_HTTPHeader__Output>
    ICMPv4: MessageTypeDefinition<_flow_ICMPv4, _flow_ICMPv4__Output>
    ICMPv6: MessageTypeDefinition<_flow_ICMPv6, _flow_ICMPv6__Output>
    IP: MessageTypeDefinition<_flow_IP, _flow_IP__Output>
    IPVersion: EnumTypeDefinition
    Layer4: MessageTypeDefinition<_flow_Layer4, _flow_Layer4__Output>
    LostEvent: MessageTypeDefinition<_flow_LostEvent, _flow_LostEvent__Output>
    LostEventSource: EnumTypeDefinition
    NetworkInterface: MessageTypeDefinition<_flow_NetworkInterface, _flow_NetworkInterface__Output>
    Policy: MessageTypeDefinition<_flow_Policy, _flow_Policy__Output>
    SCTP: MessageTypeDefinition<_flow_SCTP, _flow_SCTP__Output>
    Service: MessageTypeDefinition<_flow_Service, _flow_Service__Output>
    TCP: MessageTypeDefinition<_flow_TCP, _flow_TCP__Output>
    TCPFlags: MessageTypeDefinition<_flow_TCPFlags, _flow_TCPFlags__Output>
    TraceReason: EnumTypeDefinition
    TrafficDirection: EnumTypeDefinition
    Tunnel: MessageTypeDefinition<_flow_Tunnel, _flow_Tunnel__Output>
    UDP: MessageTypeDefinition<_flow_UDP, _flow_UDP__Output>
    Verdict: EnumTypeDefinition
    Workload: MessageTypeDefinition<_flow_Workload, _flow_Workload__Output>
  }
  google: {
    protobuf: {
      BoolValue: MessageTypeDefinition<_google_protobuf_BoolValue, _google_protobuf_BoolValue__Output>
      BytesValue: MessageTypeDefinition<_google_protobuf_BytesValue, _google_protobuf_BytesValue__Output>
      DoubleValue: MessageTypeDefinition<_google_protobuf_DoubleValue, _google_protobuf_DoubleValue__Output>
      FieldMask: MessageTypeDefinition<_google_protobuf_FieldMask, _google_protobuf_FieldMask__Output>
      FloatValue: MessageTypeDefinition<_google_protobuf_FloatValue, _google_protobuf_FloatValue__Output>
      Int32Value: MessageTypeDefinition<_google_protobuf_Int32Value, _google_protobuf_Int32Value__Output>
      Int64Value: MessageTypeDefinition<_google_protobuf_Int64Value, _google_protobuf_Int64Value__Output>
      StringValue: MessageTypeDefinition<_google_protobuf_StringValue, _google_protobuf_StringValue__Output>
      Timestamp: MessageTypeDefinition<_google_protobuf_Timestamp, _google_protobuf_Timestamp__Output>
      UInt32Value: MessageTypeDefinition<_google_protobuf_UInt32Value, _google_protobuf_UInt32Value__Output>
      UInt64Value: MessageTypeDefinition<_google_protobuf_UInt64Value, _google_protobuf_UInt64Value__Output>
    }
  }
  observer: {
    GetFlowsRequest: MessageTypeDefinition<_observer_GetFlowsRequest, _observer_GetFlowsRequest__Output>
    GetFlowsResponse: MessageTypeDefinition<_observer_GetFlowsResponse, _observer_GetFlowsResponse__Output>
    GetNamespacesRequest: MessageTypeDefinition<_observer_GetNamespacesRequest, _observer_GetNamespacesRequest__Output>
    GetNamespacesResponse: MessageTypeDefinition<_observer_GetNamespacesResponse, _observer_GetNamespacesResponse__Output>
    GetNodesRequest: MessageTypeDefinition<_observer_GetNodesRequest, _observer_GetNodesRequest__Output>
    GetNodesResponse: MessageTypeDefinition<_observer_GetNodesResponse, _observer_GetNodesResponse__Output>
    Namespace: MessageTypeDefinition<_observer_Namespace, _observer_Namespace__Output>
    Node: MessageTypeDefinition<_observer_Node, _observer_Node__Output>
    Observer: SubtypeConstructor<typeof grpc.Client, _observer_ObserverClient> & { service: _observer_ObserverDefinition }
    ServerStatusRequest: MessageTypeDefinition<_observer_ServerStatusRequest, _observer_ServerStatusRequest__Output>
    ServerStatusResponse: MessageTypeDefinition<_observer_ServerStatusResponse, _observer_ServerStatusResponse__Output>
    TLS: MessageTypeDefinition<_observer_TLS, _observer_TLS__Output>
  }
  relay: {
    NodeState: EnumTypeDefinition
    NodeStatusEvent: MessageTypeDefinition<_relay_NodeStatusEvent, _relay_NodeStatusEvent__Output>
  }
}

