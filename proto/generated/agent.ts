import type * as grpc from '@grpc/grpc-js';
import type { EnumTypeDefinition, MessageTypeDefinition } from '@grpc/proto-loader';

import type { AgentClient as _fairlead_v1_AgentClient, AgentDefinition as _fairlead_v1_AgentDefinition } from './fairlead/v1/Agent.ts';
import type { Backend as _fairlead_v1_Backend, Backend__Output as _fairlead_v1_Backend__Output } from './fairlead/v1/Backend.ts';
import type { ConntrackEntry as _fairlead_v1_ConntrackEntry, ConntrackEntry__Output as _fairlead_v1_ConntrackEntry__Output } from './fairlead/v1/ConntrackEntry.ts';
import type { DropCount as _fairlead_v1_DropCount, DropCount__Output as _fairlead_v1_DropCount__Output } from './fairlead/v1/DropCount.ts';
import type { Endpoint as _fairlead_v1_Endpoint, Endpoint__Output as _fairlead_v1_Endpoint__Output } from './fairlead/v1/Endpoint.ts';
import type { ExplainFlowRequest as _fairlead_v1_ExplainFlowRequest, ExplainFlowRequest__Output as _fairlead_v1_ExplainFlowRequest__Output } from './fairlead/v1/ExplainFlowRequest.ts';
import type { ExplainFlowResponse as _fairlead_v1_ExplainFlowResponse, ExplainFlowResponse__Output as _fairlead_v1_ExplainFlowResponse__Output } from './fairlead/v1/ExplainFlowResponse.ts';
import type { ExplainStep as _fairlead_v1_ExplainStep, ExplainStep__Output as _fairlead_v1_ExplainStep__Output } from './fairlead/v1/ExplainStep.ts';
import type { Flow as _fairlead_v1_Flow, Flow__Output as _fairlead_v1_Flow__Output } from './fairlead/v1/Flow.ts';
import type { FlowFilter as _fairlead_v1_FlowFilter, FlowFilter__Output as _fairlead_v1_FlowFilter__Output } from './fairlead/v1/FlowFilter.ts';
import type { FlowPolicy as _fairlead_v1_FlowPolicy, FlowPolicy__Output as _fairlead_v1_FlowPolicy__Output } from './fairlead/v1/FlowPolicy.ts';
import type { FlowStatus as _fairlead_v1_FlowStatus, FlowStatus__Output as _fairlead_v1_FlowStatus__Output } from './fairlead/v1/FlowStatus.ts';
import type { FlowTotals as _fairlead_v1_FlowTotals, FlowTotals__Output as _fairlead_v1_FlowTotals__Output } from './fairlead/v1/FlowTotals.ts';
import type { Frontend as _fairlead_v1_Frontend, Frontend__Output as _fairlead_v1_Frontend__Output } from './fairlead/v1/Frontend.ts';
import type { GetConfigRequest as _fairlead_v1_GetConfigRequest, GetConfigRequest__Output as _fairlead_v1_GetConfigRequest__Output } from './fairlead/v1/GetConfigRequest.ts';
import type { GetConfigResponse as _fairlead_v1_GetConfigResponse, GetConfigResponse__Output as _fairlead_v1_GetConfigResponse__Output } from './fairlead/v1/GetConfigResponse.ts';
import type { GetPolicyRequest as _fairlead_v1_GetPolicyRequest, GetPolicyRequest__Output as _fairlead_v1_GetPolicyRequest__Output } from './fairlead/v1/GetPolicyRequest.ts';
import type { GetPolicyResponse as _fairlead_v1_GetPolicyResponse, GetPolicyResponse__Output as _fairlead_v1_GetPolicyResponse__Output } from './fairlead/v1/GetPolicyResponse.ts';
import type { GetServiceRequest as _fairlead_v1_GetServiceRequest, GetServiceRequest__Output as _fairlead_v1_GetServiceRequest__Output } from './fairlead/v1/GetServiceRequest.ts';
import type { GetServiceResponse as _fairlead_v1_GetServiceResponse, GetServiceResponse__Output as _fairlead_v1_GetServiceResponse__Output } from './fairlead/v1/GetServiceResponse.ts';
import type { GetStatusRequest as _fairlead_v1_GetStatusRequest, GetStatusRequest__Output as _fairlead_v1_GetStatusRequest__Output } from './fairlead/v1/GetStatusRequest.ts';
import type { GetStatusResponse as _fairlead_v1_GetStatusResponse, GetStatusResponse__Output as _fairlead_v1_GetStatusResponse__Output } from './fairlead/v1/GetStatusResponse.ts';
import type { ListConntrackRequest as _fairlead_v1_ListConntrackRequest, ListConntrackRequest__Output as _fairlead_v1_ListConntrackRequest__Output } from './fairlead/v1/ListConntrackRequest.ts';
import type { ListDropsRequest as _fairlead_v1_ListDropsRequest, ListDropsRequest__Output as _fairlead_v1_ListDropsRequest__Output } from './fairlead/v1/ListDropsRequest.ts';
import type { ListDropsResponse as _fairlead_v1_ListDropsResponse, ListDropsResponse__Output as _fairlead_v1_ListDropsResponse__Output } from './fairlead/v1/ListDropsResponse.ts';
import type { ListEndpointsRequest as _fairlead_v1_ListEndpointsRequest, ListEndpointsRequest__Output as _fairlead_v1_ListEndpointsRequest__Output } from './fairlead/v1/ListEndpointsRequest.ts';
import type { ListEndpointsResponse as _fairlead_v1_ListEndpointsResponse, ListEndpointsResponse__Output as _fairlead_v1_ListEndpointsResponse__Output } from './fairlead/v1/ListEndpointsResponse.ts';
import type { ListNodesRequest as _fairlead_v1_ListNodesRequest, ListNodesRequest__Output as _fairlead_v1_ListNodesRequest__Output } from './fairlead/v1/ListNodesRequest.ts';
import type { ListNodesResponse as _fairlead_v1_ListNodesResponse, ListNodesResponse__Output as _fairlead_v1_ListNodesResponse__Output } from './fairlead/v1/ListNodesResponse.ts';
import type { ListPoliciesRequest as _fairlead_v1_ListPoliciesRequest, ListPoliciesRequest__Output as _fairlead_v1_ListPoliciesRequest__Output } from './fairlead/v1/ListPoliciesRequest.ts';
import type { ListPoliciesResponse as _fairlead_v1_ListPoliciesResponse, ListPoliciesResponse__Output as _fairlead_v1_ListPoliciesResponse__Output } from './fairlead/v1/ListPoliciesResponse.ts';
import type { ListServicesRequest as _fairlead_v1_ListServicesRequest, ListServicesRequest__Output as _fairlead_v1_ListServicesRequest__Output } from './fairlead/v1/ListServicesRequest.ts';
import type { ListServicesResponse as _fairlead_v1_ListServicesResponse, ListServicesResponse__Output as _fairlead_v1_ListServicesResponse__Output } from './fairlead/v1/ListServicesResponse.ts';
import type { LostFlows as _fairlead_v1_LostFlows, LostFlows__Output as _fairlead_v1_LostFlows__Output } from './fairlead/v1/LostFlows.ts';
import type { MapStatus as _fairlead_v1_MapStatus, MapStatus__Output as _fairlead_v1_MapStatus__Output } from './fairlead/v1/MapStatus.ts';
import type { Node as _fairlead_v1_Node, Node__Output as _fairlead_v1_Node__Output } from './fairlead/v1/Node.ts';
import type { ObserveFlowsRequest as _fairlead_v1_ObserveFlowsRequest, ObserveFlowsRequest__Output as _fairlead_v1_ObserveFlowsRequest__Output } from './fairlead/v1/ObserveFlowsRequest.ts';
import type { ObserveFlowsResponse as _fairlead_v1_ObserveFlowsResponse, ObserveFlowsResponse__Output as _fairlead_v1_ObserveFlowsResponse__Output } from './fairlead/v1/ObserveFlowsResponse.ts';
import type { Peer as _fairlead_v1_Peer, Peer__Output as _fairlead_v1_Peer__Output } from './fairlead/v1/Peer.ts';
import type { Policy as _fairlead_v1_Policy, Policy__Output as _fairlead_v1_Policy__Output } from './fairlead/v1/Policy.ts';
import type { PolicyCounters as _fairlead_v1_PolicyCounters, PolicyCounters__Output as _fairlead_v1_PolicyCounters__Output } from './fairlead/v1/PolicyCounters.ts';
import type { PolicyRef as _fairlead_v1_PolicyRef, PolicyRef__Output as _fairlead_v1_PolicyRef__Output } from './fairlead/v1/PolicyRef.ts';
import type { PolicyRule as _fairlead_v1_PolicyRule, PolicyRule__Output as _fairlead_v1_PolicyRule__Output } from './fairlead/v1/PolicyRule.ts';
import type { PolicyTrace as _fairlead_v1_PolicyTrace, PolicyTrace__Output as _fairlead_v1_PolicyTrace__Output } from './fairlead/v1/PolicyTrace.ts';
import type { PolicyTraceStep as _fairlead_v1_PolicyTraceStep, PolicyTraceStep__Output as _fairlead_v1_PolicyTraceStep__Output } from './fairlead/v1/PolicyTraceStep.ts';
import type { ReconcilerStatus as _fairlead_v1_ReconcilerStatus, ReconcilerStatus__Output as _fairlead_v1_ReconcilerStatus__Output } from './fairlead/v1/ReconcilerStatus.ts';
import type { Service as _fairlead_v1_Service, Service__Output as _fairlead_v1_Service__Output } from './fairlead/v1/Service.ts';
import type { Setting as _fairlead_v1_Setting, Setting__Output as _fairlead_v1_Setting__Output } from './fairlead/v1/Setting.ts';
import type { SourceError as _fairlead_v1_SourceError, SourceError__Output as _fairlead_v1_SourceError__Output } from './fairlead/v1/SourceError.ts';
import type { TracePolicyRequest as _fairlead_v1_TracePolicyRequest, TracePolicyRequest__Output as _fairlead_v1_TracePolicyRequest__Output } from './fairlead/v1/TracePolicyRequest.ts';
import type { TracePolicyResponse as _fairlead_v1_TracePolicyResponse, TracePolicyResponse__Output as _fairlead_v1_TracePolicyResponse__Output } from './fairlead/v1/TracePolicyResponse.ts';
import type { Duration as _google_protobuf_Duration, Duration__Output as _google_protobuf_Duration__Output } from './google/protobuf/Duration.ts';
import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from './google/protobuf/Timestamp.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  fairlead: {
    v1: {
      Agent: SubtypeConstructor<typeof grpc.Client, _fairlead_v1_AgentClient> & { service: _fairlead_v1_AgentDefinition }
      Backend: MessageTypeDefinition<_fairlead_v1_Backend, _fairlead_v1_Backend__Output>
      ConntrackEntry: MessageTypeDefinition<_fairlead_v1_ConntrackEntry, _fairlead_v1_ConntrackEntry__Output>
      DropCount: MessageTypeDefinition<_fairlead_v1_DropCount, _fairlead_v1_DropCount__Output>
      Endpoint: MessageTypeDefinition<_fairlead_v1_Endpoint, _fairlead_v1_Endpoint__Output>
      ExplainFlowRequest: MessageTypeDefinition<_fairlead_v1_ExplainFlowRequest, _fairlead_v1_ExplainFlowRequest__Output>
      ExplainFlowResponse: MessageTypeDefinition<_fairlead_v1_ExplainFlowResponse, _fairlead_v1_ExplainFlowResponse__Output>
      ExplainStep: MessageTypeDefinition<_fairlead_v1_ExplainStep, _fairlead_v1_ExplainStep__Output>
      Flow: MessageTypeDefinition<_fairlead_v1_Flow, _fairlead_v1_Flow__Output>
      FlowFilter: MessageTypeDefinition<_fairlead_v1_FlowFilter, _fairlead_v1_FlowFilter__Output>
      FlowKind: EnumTypeDefinition
      FlowPolicy: MessageTypeDefinition<_fairlead_v1_FlowPolicy, _fairlead_v1_FlowPolicy__Output>
      FlowStatus: MessageTypeDefinition<_fairlead_v1_FlowStatus, _fairlead_v1_FlowStatus__Output>
      FlowTotals: MessageTypeDefinition<_fairlead_v1_FlowTotals, _fairlead_v1_FlowTotals__Output>
      Frontend: MessageTypeDefinition<_fairlead_v1_Frontend, _fairlead_v1_Frontend__Output>
      GetConfigRequest: MessageTypeDefinition<_fairlead_v1_GetConfigRequest, _fairlead_v1_GetConfigRequest__Output>
      GetConfigResponse: MessageTypeDefinition<_fairlead_v1_GetConfigResponse, _fairlead_v1_GetConfigResponse__Output>
      GetPolicyRequest: MessageTypeDefinition<_fairlead_v1_GetPolicyRequest, _fairlead_v1_GetPolicyRequest__Output>
      GetPolicyResponse: MessageTypeDefinition<_fairlead_v1_GetPolicyResponse, _fairlead_v1_GetPolicyResponse__Output>
      GetServiceRequest: MessageTypeDefinition<_fairlead_v1_GetServiceRequest, _fairlead_v1_GetServiceRequest__Output>
      GetServiceResponse: MessageTypeDefinition<_fairlead_v1_GetServiceResponse, _fairlead_v1_GetServiceResponse__Output>
      GetStatusRequest: MessageTypeDefinition<_fairlead_v1_GetStatusRequest, _fairlead_v1_GetStatusRequest__Output>
      GetStatusResponse: MessageTypeDefinition<_fairlead_v1_GetStatusResponse, _fairlead_v1_GetStatusResponse__Output>
      ListConntrackRequest: MessageTypeDefinition<_fairlead_v1_ListConntrackRequest, _fairlead_v1_ListConntrackRequest__Output>
      ListDropsRequest: MessageTypeDefinition<_fairlead_v1_ListDropsRequest, _fairlead_v1_ListDropsRequest__Output>
      ListDropsResponse: MessageTypeDefinition<_fairlead_v1_ListDropsResponse, _fairlead_v1_ListDropsResponse__Output>
      ListEndpointsRequest: MessageTypeDefinition<_fairlead_v1_ListEndpointsRequest, _fairlead_v1_ListEndpointsRequest__Output>
      ListEndpointsResponse: MessageTypeDefinition<_fairlead_v1_ListEndpointsResponse, _fairlead_v1_ListEndpointsResponse__Output>
      ListNodesRequest: MessageTypeDefinition<_fairlead_v1_ListNodesRequest, _fairlead_v1_ListNodesRequest__Output>
      ListNodesResponse: MessageTypeDefinition<_fairlead_v1_ListNodesResponse, _fairlead_v1_ListNodesResponse__Output>
      ListPoliciesRequest: MessageTypeDefinition<_fairlead_v1_ListPoliciesRequest, _fairlead_v1_ListPoliciesRequest__Output>
      ListPoliciesResponse: MessageTypeDefinition<_fairlead_v1_ListPoliciesResponse, _fairlead_v1_ListPoliciesResponse__Output>
      ListServicesRequest: MessageTypeDefinition<_fairlead_v1_ListServicesRequest, _fairlead_v1_ListServicesRequest__Output>
      ListServicesResponse: MessageTypeDefinition<_fairlead_v1_ListServicesResponse, _fairlead_v1_ListServicesResponse__Output>
      LostFlows: MessageTypeDefinition<_fairlead_v1_LostFlows, _fairlead_v1_LostFlows__Output>
      MapStatus: MessageTypeDefinition<_fairlead_v1_MapStatus, _fairlead_v1_MapStatus__Output>
      Node: MessageTypeDefinition<_fairlead_v1_Node, _fairlead_v1_Node__Output>
      ObserveFlowsRequest: MessageTypeDefinition<_fairlead_v1_ObserveFlowsRequest, _fairlead_v1_ObserveFlowsRequest__Output>
      ObserveFlowsResponse: MessageTypeDefinition<_fairlead_v1_ObserveFlowsResponse, _fairlead_v1_ObserveFlowsResponse__Output>
      Peer: MessageTypeDefinition<_fairlead_v1_Peer, _fairlead_v1_Peer__Output>
      PeerKind: EnumTypeDefinition
      Policy: MessageTypeDefinition<_fairlead_v1_Policy, _fairlead_v1_Policy__Output>
      PolicyCounters: MessageTypeDefinition<_fairlead_v1_PolicyCounters, _fairlead_v1_PolicyCounters__Output>
      PolicyRef: MessageTypeDefinition<_fairlead_v1_PolicyRef, _fairlead_v1_PolicyRef__Output>
      PolicyRule: MessageTypeDefinition<_fairlead_v1_PolicyRule, _fairlead_v1_PolicyRule__Output>
      PolicyTrace: MessageTypeDefinition<_fairlead_v1_PolicyTrace, _fairlead_v1_PolicyTrace__Output>
      PolicyTraceStep: MessageTypeDefinition<_fairlead_v1_PolicyTraceStep, _fairlead_v1_PolicyTraceStep__Output>
      ReconcilerStatus: MessageTypeDefinition<_fairlead_v1_ReconcilerStatus, _fairlead_v1_ReconcilerStatus__Output>
      Service: MessageTypeDefinition<_fairlead_v1_Service, _fairlead_v1_Service__Output>
      Setting: MessageTypeDefinition<_fairlead_v1_Setting, _fairlead_v1_Setting__Output>
      SourceError: MessageTypeDefinition<_fairlead_v1_SourceError, _fairlead_v1_SourceError__Output>
      TracePolicyRequest: MessageTypeDefinition<_fairlead_v1_TracePolicyRequest, _fairlead_v1_TracePolicyRequest__Output>
      TracePolicyResponse: MessageTypeDefinition<_fairlead_v1_TracePolicyResponse, _fairlead_v1_TracePolicyResponse__Output>
      TrafficDirection: EnumTypeDefinition
      Verdict: EnumTypeDefinition
    }
  }
  google: {
    protobuf: {
      Duration: MessageTypeDefinition<_google_protobuf_Duration, _google_protobuf_Duration__Output>
      Timestamp: MessageTypeDefinition<_google_protobuf_Timestamp, _google_protobuf_Timestamp__Output>
    }
  }
}

