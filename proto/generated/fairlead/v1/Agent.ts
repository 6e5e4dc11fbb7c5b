// Original file: proto/fairlead/v1/agent.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { ConntrackEntry as _fairlead_v1_ConntrackEntry, ConntrackEntry__Output as _fairlead_v1_ConntrackEntry__Output } from '../../fairlead/v1/ConntrackEntry.ts';
import type { ExplainFlowRequest as _fairlead_v1_ExplainFlowRequest, ExplainFlowRequest__Output as _fairlead_v1_ExplainFlowRequest__Output } from '../../fairlead/v1/ExplainFlowRequest.ts';
import type { ExplainFlowResponse as _fairlead_v1_ExplainFlowResponse, ExplainFlowResponse__Output as _fairlead_v1_ExplainFlowResponse__Output } from '../../fairlead/v1/ExplainFlowResponse.ts';
import type { GetConfigRequest as _fairlead_v1_GetConfigRequest, GetConfigRequest__Output as _fairlead_v1_GetConfigRequest__Output } from '../../fairlead/v1/GetConfigRequest.ts';
import type { GetConfigResponse as _fairlead_v1_GetConfigResponse, GetConfigResponse__Output as _fairlead_v1_GetConfigResponse__Output } from '../../fairlead/v1/GetConfigResponse.ts';
import type { GetPolicyRequest as _fairlead_v1_GetPolicyRequest, GetPolicyRequest__Output as _fairlead_v1_GetPolicyRequest__Output } from '../../fairlead/v1/GetPolicyRequest.ts';
import type { GetPolicyResponse as _fairlead_v1_GetPolicyResponse, GetPolicyResponse__Output as _fairlead_v1_GetPolicyResponse__Output } from '../../fairlead/v1/GetPolicyResponse.ts';
import type { GetServiceRequest as _fairlead_v1_GetServiceRequest, GetServiceRequest__Output as _fairlead_v1_GetServiceRequest__Output } from '../../fairlead/v1/GetServiceRequest.ts';
import type { GetServiceResponse as _fairlead_v1_GetServiceResponse, GetServiceResponse__Output as _fairlead_v1_GetServiceResponse__Output } from '../../fairlead/v1/GetServiceResponse.ts';
import type { GetStatusRequest as _fairlead_v1_GetStatusRequest, GetStatusRequest__Output as _fairlead_v1_GetStatusRequest__Output } from '../../fairlead/v1/GetStatusRequest.ts';
import type { GetStatusResponse as _fairlead_v1_GetStatusResponse, GetStatusResponse__Output as _fairlead_v1_GetStatusResponse__Output } from '../../fairlead/v1/GetStatusResponse.ts';
import type { ListConntrackRequest as _fairlead_v1_ListConntrackRequest, ListConntrackRequest__Output as _fairlead_v1_ListConntrackRequest__Output } from '../../fairlead/v1/ListConntrackRequest.ts';
import type { ListDropsRequest as _fairlead_v1_ListDropsRequest, ListDropsRequest__Output as _fairlead_v1_ListDropsRequest__Output } from '../../fairlead/v1/ListDropsRequest.ts';
import type { ListDropsResponse as _fairlead_v1_ListDropsResponse, ListDropsResponse__Output as _fairlead_v1_ListDropsResponse__Output } from '../../fairlead/v1/ListDropsResponse.ts';
import type { ListEndpointsRequest as _fairlead_v1_ListEndpointsRequest, ListEndpointsRequest__Output as _fairlead_v1_ListEndpointsRequest__Output } from '../../fairlead/v1/ListEndpointsRequest.ts';
import type { ListEndpointsResponse as _fairlead_v1_ListEndpointsResponse, ListEndpointsResponse__Output as _fairlead_v1_ListEndpointsResponse__Output } from '../../fairlead/v1/ListEndpointsResponse.ts';
import type { ListNodesRequest as _fairlead_v1_ListNodesRequest, ListNodesRequest__Output as _fairlead_v1_ListNodesRequest__Output } from '../../fairlead/v1/ListNodesRequest.ts';
import type { ListNodesResponse as _fairlead_v1_ListNodesResponse, ListNodesResponse__Output as _fairlead_v1_ListNodesResponse__Output } from '../../fairlead/v1/ListNodesResponse.ts';
import type { ListPoliciesRequest as _fairlead_v1_ListPoliciesRequest, ListPoliciesRequest__Output as _fairlead_v1_ListPoliciesRequest__Output } from '../../fairlead/v1/ListPoliciesRequest.ts';
import type { ListPoliciesResponse as _fairlead_v1_ListPoliciesResponse, ListPoliciesResponse__Output as _fairlead_v1_ListPoliciesResponse__Output } from '../../fairlead/v1/ListPoliciesResponse.ts';
import type { ListServicesRequest as _fairlead_v1_ListServicesRequest, ListServicesRequest__Output as _fairlead_v1_ListServicesRequest__Output } from '../../fairlead/v1/ListServicesRequest.ts';
import type { ListServicesResponse as _fairlead_v1_ListServicesResponse, ListServicesResponse__Output as _fairlead_v1_ListServicesResponse__Output } from '../../fairlead/v1/ListServicesResponse.ts';
import type { ObserveFlowsRequest as _fairlead_v1_ObserveFlowsRequest, ObserveFlowsRequest__Output as _fairlead_v1_ObserveFlowsRequest__Output } from '../../fairlead/v1/ObserveFlowsRequest.ts';
import type { ObserveFlowsResponse as _fairlead_v1_ObserveFlowsResponse, ObserveFlowsResponse__Output as _fairlead_v1_ObserveFlowsResponse__Output } from '../../fairlead/v1/ObserveFlowsResponse.ts';
import type { TracePolicyRequest as _fairlead_v1_TracePolicyRequest, TracePolicyRequest__Output as _fairlead_v1_TracePolicyRequest__Output } from '../../fairlead/v1/TracePolicyRequest.ts';
import type { TracePolicyResponse as _fairlead_v1_TracePolicyResponse, TracePolicyResponse__Output as _fairlead_v1_TracePolicyResponse__Output } from '../../fairlead/v1/TracePolicyResponse.ts';

export interface AgentClient extends grpc.Client {
  /**
   * What the programs would do with the first packet of a flow: asks their own code, with the maps in force, without sending anything.
   */
  ExplainFlow(argument: _fairlead_v1_ExplainFlowRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ExplainFlowResponse__Output>): grpc.ClientUnaryCall;
  ExplainFlow(argument: _fairlead_v1_ExplainFlowRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_ExplainFlowResponse__Output>): grpc.ClientUnaryCall;
  ExplainFlow(argument: _fairlead_v1_ExplainFlowRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ExplainFlowResponse__Output>): grpc.ClientUnaryCall;
  ExplainFlow(argument: _fairlead_v1_ExplainFlowRequest, callback: grpc.requestCallback<_fairlead_v1_ExplainFlowResponse__Output>): grpc.ClientUnaryCall;
  /**
   * What the programs would do with the first packet of a flow: asks their own code, with the maps in force, without sending anything.
   */
  explainFlow(argument: _fairlead_v1_ExplainFlowRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ExplainFlowResponse__Output>): grpc.ClientUnaryCall;
  explainFlow(argument: _fairlead_v1_ExplainFlowRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_ExplainFlowResponse__Output>): grpc.ClientUnaryCall;
  explainFlow(argument: _fairlead_v1_ExplainFlowRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ExplainFlowResponse__Output>): grpc.ClientUnaryCall;
  explainFlow(argument: _fairlead_v1_ExplainFlowRequest, callback: grpc.requestCallback<_fairlead_v1_ExplainFlowResponse__Output>): grpc.ClientUnaryCall;
  
  GetConfig(argument: _fairlead_v1_GetConfigRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetConfigResponse__Output>): grpc.ClientUnaryCall;
  GetConfig(argument: _fairlead_v1_GetConfigRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_GetConfigResponse__Output>): grpc.ClientUnaryCall;
  GetConfig(argument: _fairlead_v1_GetConfigRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetConfigResponse__Output>): grpc.ClientUnaryCall;
  GetConfig(argument: _fairlead_v1_GetConfigRequest, callback: grpc.requestCallback<_fairlead_v1_GetConfigResponse__Output>): grpc.ClientUnaryCall;
  getConfig(argument: _fairlead_v1_GetConfigRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetConfigResponse__Output>): grpc.ClientUnaryCall;
  getConfig(argument: _fairlead_v1_GetConfigRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_GetConfigResponse__Output>): grpc.ClientUnaryCall;
  getConfig(argument: _fairlead_v1_GetConfigRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetConfigResponse__Output>): grpc.ClientUnaryCall;
  getConfig(argument: _fairlead_v1_GetConfigRequest, callback: grpc.requestCallback<_fairlead_v1_GetConfigResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * NOT_FOUND when no such policy is known.
   */
  GetPolicy(argument: _fairlead_v1_GetPolicyRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetPolicyResponse__Output>): grpc.ClientUnaryCall;
  GetPolicy(argument: _fairlead_v1_GetPolicyRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_GetPolicyResponse__Output>): grpc.ClientUnaryCall;
  GetPolicy(argument: _fairlead_v1_GetPolicyRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetPolicyResponse__Output>): grpc.ClientUnaryCall;
  GetPolicy(argument: _fairlead_v1_GetPolicyRequest, callback: grpc.requestCallback<_fairlead_v1_GetPolicyResponse__Output>): grpc.ClientUnaryCall;
  /**
   * NOT_FOUND when no such policy is known.
   */
  getPolicy(argument: _fairlead_v1_GetPolicyRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetPolicyResponse__Output>): grpc.ClientUnaryCall;
  getPolicy(argument: _fairlead_v1_GetPolicyRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_GetPolicyResponse__Output>): grpc.ClientUnaryCall;
  getPolicy(argument: _fairlead_v1_GetPolicyRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetPolicyResponse__Output>): grpc.ClientUnaryCall;
  getPolicy(argument: _fairlead_v1_GetPolicyRequest, callback: grpc.requestCallback<_fairlead_v1_GetPolicyResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * NOT_FOUND when no such service is known.
   */
  GetService(argument: _fairlead_v1_GetServiceRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetServiceResponse__Output>): grpc.ClientUnaryCall;
  GetService(argument: _fairlead_v1_GetServiceRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_GetServiceResponse__Output>): grpc.ClientUnaryCall;
  GetService(argument: _fairlead_v1_GetServiceRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetServiceResponse__Output>): grpc.ClientUnaryCall;
  GetService(argument: _fairlead_v1_GetServiceRequest, callback: grpc.requestCallback<_fairlead_v1_GetServiceResponse__Output>): grpc.ClientUnaryCall;
  /**
   * NOT_FOUND when no such service is known.
   */
  getService(argument: _fairlead_v1_GetServiceRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetServiceResponse__Output>): grpc.ClientUnaryCall;
  getService(argument: _fairlead_v1_GetServiceRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_GetServiceResponse__Output>): grpc.ClientUnaryCall;
  getService(argument: _fairlead_v1_GetServiceRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetServiceResponse__Output>): grpc.ClientUnaryCall;
  getService(argument: _fairlead_v1_GetServiceRequest, callback: grpc.requestCallback<_fairlead_v1_GetServiceResponse__Output>): grpc.ClientUnaryCall;
  
  GetStatus(argument: _fairlead_v1_GetStatusRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetStatusResponse__Output>): grpc.ClientUnaryCall;
  GetStatus(argument: _fairlead_v1_GetStatusRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_GetStatusResponse__Output>): grpc.ClientUnaryCall;
  GetStatus(argument: _fairlead_v1_GetStatusRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetStatusResponse__Output>): grpc.ClientUnaryCall;
  GetStatus(argument: _fairlead_v1_GetStatusRequest, callback: grpc.requestCallback<_fairlead_v1_GetStatusResponse__Output>): grpc.ClientUnaryCall;
  getStatus(argument: _fairlead_v1_GetStatusRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetStatusResponse__Output>): grpc.ClientUnaryCall;
  getStatus(argument: _fairlead_v1_GetStatusRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_GetStatusResponse__Output>): grpc.ClientUnaryCall;
  getStatus(argument: _fairlead_v1_GetStatusRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetStatusResponse__Output>): grpc.ClientUnaryCall;
  getStatus(argument: _fairlead_v1_GetStatusRequest, callback: grpc.requestCallback<_fairlead_v1_GetStatusResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * In the order of the hash map, so in no order. A snapshot of a table that changes while it is read.
   */
  ListConntrack(argument: _fairlead_v1_ListConntrackRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_fairlead_v1_ConntrackEntry__Output>;
  ListConntrack(argument: _fairlead_v1_ListConntrackRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_fairlead_v1_ConntrackEntry__Output>;
  /**
   * In the order of the hash map, so in no order. A snapshot of a table that changes while it is read.
   */
  listConntrack(argument: _fairlead_v1_ListConntrackRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_fairlead_v1_ConntrackEntry__Output>;
  listConntrack(argument: _fairlead_v1_ListConntrackRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_fairlead_v1_ConntrackEntry__Output>;
  
  ListDrops(argument: _fairlead_v1_ListDropsRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListDropsResponse__Output>): grpc.ClientUnaryCall;
  ListDrops(argument: _fairlead_v1_ListDropsRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_ListDropsResponse__Output>): grpc.ClientUnaryCall;
  ListDrops(argument: _fairlead_v1_ListDropsRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListDropsResponse__Output>): grpc.ClientUnaryCall;
  ListDrops(argument: _fairlead_v1_ListDropsRequest, callback: grpc.requestCallback<_fairlead_v1_ListDropsResponse__Output>): grpc.ClientUnaryCall;
  listDrops(argument: _fairlead_v1_ListDropsRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListDropsResponse__Output>): grpc.ClientUnaryCall;
  listDrops(argument: _fairlead_v1_ListDropsRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_ListDropsResponse__Output>): grpc.ClientUnaryCall;
  listDrops(argument: _fairlead_v1_ListDropsRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListDropsResponse__Output>): grpc.ClientUnaryCall;
  listDrops(argument: _fairlead_v1_ListDropsRequest, callback: grpc.requestCallback<_fairlead_v1_ListDropsResponse__Output>): grpc.ClientUnaryCall;
  
  ListEndpoints(argument: _fairlead_v1_ListEndpointsRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListEndpointsResponse__Output>): grpc.ClientUnaryCall;
  ListEndpoints(argument: _fairlead_v1_ListEndpointsRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_ListEndpointsResponse__Output>): grpc.ClientUnaryCall;
  ListEndpoints(argument: _fairlead_v1_ListEndpointsRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListEndpointsResponse__Output>): grpc.ClientUnaryCall;
  ListEndpoints(argument: _fairlead_v1_ListEndpointsRequest, callback: grpc.requestCallback<_fairlead_v1_ListEndpointsResponse__Output>): grpc.ClientUnaryCall;
  listEndpoints(argument: _fairlead_v1_ListEndpointsRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListEndpointsResponse__Output>): grpc.ClientUnaryCall;
  listEndpoints(argument: _fairlead_v1_ListEndpointsRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_ListEndpointsResponse__Output>): grpc.ClientUnaryCall;
  listEndpoints(argument: _fairlead_v1_ListEndpointsRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListEndpointsResponse__Output>): grpc.ClientUnaryCall;
  listEndpoints(argument: _fairlead_v1_ListEndpointsRequest, callback: grpc.requestCallback<_fairlead_v1_ListEndpointsResponse__Output>): grpc.ClientUnaryCall;
  
  ListNodes(argument: _fairlead_v1_ListNodesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListNodesResponse__Output>): grpc.ClientUnaryCall;
  ListNodes(argument: _fairlead_v1_ListNodesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_ListNodesResponse__Output>): grpc.ClientUnaryCall;
  ListNodes(argument: _fairlead_v1_ListNodesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListNodesResponse__Output>): grpc.ClientUnaryCall;
  ListNodes(argument: _fairlead_v1_ListNodesRequest, callback: grpc.requestCallback<_fairlead_v1_ListNodesResponse__Output>): grpc.ClientUnaryCall;
  listNodes(argument: _fairlead_v1_ListNodesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListNodesResponse__Output>): grpc.ClientUnaryCall;
  listNodes(argument: _fairlead_v1_ListNodesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_ListNodesResponse__Output>): grpc.ClientUnaryCall;
  listNodes(argument: _fairlead_v1_ListNodesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListNodesResponse__Output>): grpc.ClientUnaryCall;
  listNodes(argument: _fairlead_v1_ListNodesRequest, callback: grpc.requestCallback<_fairlead_v1_ListNodesResponse__Output>): grpc.ClientUnaryCall;
  
  ListPolicies(argument: _fairlead_v1_ListPoliciesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListPoliciesResponse__Output>): grpc.ClientUnaryCall;
  ListPolicies(argument: _fairlead_v1_ListPoliciesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_ListPoliciesResponse__Output>): grpc.ClientUnaryCall;
  ListPolicies(argument: _fairlead_v1_ListPoliciesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListPoliciesResponse__Output>): grpc.ClientUnaryCall;
  ListPolicies(argument: _fairlead_v1_ListPoliciesRequest, callback: grpc.requestCallback<_fairlead_v1_ListPoliciesResponse__Output>): grpc.ClientUnaryCall;
  listPolicies(argument: _fairlead_v1_ListPoliciesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListPoliciesResponse__Output>): grpc.ClientUnaryCall;
  listPolicies(argument: _fairlead_v1_ListPoliciesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_ListPoliciesResponse__Output>): grpc.ClientUnaryCall;
  listPolicies(argument: _fairlead_v1_ListPoliciesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListPoliciesResponse__Output>): grpc.ClientUnaryCall;
  listPolicies(argument: _fairlead_v1_ListPoliciesRequest, callback: grpc.requestCallback<_fairlead_v1_ListPoliciesResponse__Output>): grpc.ClientUnaryCall;
  
  ListServices(argument: _fairlead_v1_ListServicesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListServicesResponse__Output>): grpc.ClientUnaryCall;
  ListServices(argument: _fairlead_v1_ListServicesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_ListServicesResponse__Output>): grpc.ClientUnaryCall;
  ListServices(argument: _fairlead_v1_ListServicesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListServicesResponse__Output>): grpc.ClientUnaryCall;
  ListServices(argument: _fairlead_v1_ListServicesRequest, callback: grpc.requestCallback<_fairlead_v1_ListServicesResponse__Output>): grpc.ClientUnaryCall;
  listServices(argument: _fairlead_v1_ListServicesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListServicesResponse__Output>): grpc.ClientUnaryCall;
  listServices(argument: _fairlead_v1_ListServicesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_ListServicesResponse__Output>): grpc.ClientUnaryCall;
  listServices(argument: _fairlead_v1_ListServicesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_ListServicesResponse__Output>): grpc.ClientUnaryCall;
  listServices(argument: _fairlead_v1_ListServicesRequest, callback: grpc.requestCallback<_fairlead_v1_ListServicesResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * History first, oldest flow first, then live flows when `follow` is set.
   */
  ObserveFlows(argument: _fairlead_v1_ObserveFlowsRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_fairlead_v1_ObserveFlowsResponse__Output>;
  ObserveFlows(argument: _fairlead_v1_ObserveFlowsRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_fairlead_v1_ObserveFlowsResponse__Output>;
  /**
   * History first, oldest flow first, then live flows when `follow` is set.
   */
  observeFlows(argument: _fairlead_v1_ObserveFlowsRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_fairlead_v1_ObserveFlowsResponse__Output>;
  observeFlows(argument: _fairlead_v1_ObserveFlowsRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_fairlead_v1_ObserveFlowsResponse__Output>;
  
  /**
   * What the rules say of a flow between two addresses, as this node judges it. NOT_FOUND when an end is no known pod.
   */
  TracePolicy(argument: _fairlead_v1_TracePolicyRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_TracePolicyResponse__Output>): grpc.ClientUnaryCall;
  TracePolicy(argument: _fairlead_v1_TracePolicyRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_TracePolicyResponse__Output>): grpc.ClientUnaryCall;
  TracePolicy(argument: _fairlead_v1_TracePolicyRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_TracePolicyResponse__Output>): grpc.ClientUnaryCall;
  TracePolicy(argument: _fairlead_v1_TracePolicyRequest, callback: grpc.requestCallback<_fairlead_v1_TracePolicyResponse__Output>): grpc.ClientUnaryCall;
  /**
   * What the rules say of a flow between two addresses, as this node judges it. NOT_FOUND when an end is no known pod.
   */
  tracePolicy(argument: _fairlead_v1_TracePolicyRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_TracePolicyResponse__Output>): grpc.ClientUnaryCall;
  tracePolicy(argument: _fairlead_v1_TracePolicyRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_TracePolicyResponse__Output>): grpc.ClientUnaryCall;
  tracePolicy(argument: _fairlead_v1_TracePolicyRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_TracePolicyResponse__Output>): grpc.ClientUnaryCall;
  tracePolicy(argument: _fairlead_v1_TracePolicyRequest, callback: grpc.requestCallback<_fairlead_v1_TracePolicyResponse__Output>): grpc.ClientUnaryCall;
  
}

export interface AgentHandlers extends grpc.UntypedServiceImplementation {
  /**
   * What the programs would do with the first packet of a flow: asks their own code, with the maps in force, without sending anything.
   */
  ExplainFlow: grpc.handleUnaryCall<_fairlead_v1_ExplainFlowRequest__Output, _fairlead_v1_ExplainFlowResponse>;
  
  GetConfig: grpc.handleUnaryCall<_fairlead_v1_GetConfigRequest__Output, _fairlead_v1_GetConfigResponse>;
  
  /**
   * NOT_FOUND when no such policy is known.
   */
  GetPolicy: grpc.handleUnaryCall<_fairlead_v1_GetPolicyRequest__Output, _fairlead_v1_GetPolicyResponse>;
  
  /**
   * NOT_FOUND when no such service is known.
   */
  GetService: grpc.handleUnaryCall<_fairlead_v1_GetServiceRequest__Output, _fairlead_v1_GetServiceResponse>;
  
  GetStatus: grpc.handleUnaryCall<_fairlead_v1_GetStatusRequest__Output, _fairlead_v1_GetStatusResponse>;
  
  /**
   * In the order of the hash map, so in no order. A snapshot of a table that changes while it is read.
   */
  ListConntrack: grpc.handleServerStreamingCall<_fairlead_v1_ListConntrackRequest__Output, _fairlead_v1_ConntrackEntry>;
  
  ListDrops: grpc.handleUnaryCall<_fairlead_v1_ListDropsRequest__Output, _fairlead_v1_ListDropsResponse>;
  
  ListEndpoints: grpc.handleUnaryCall<_fairlead_v1_ListEndpointsRequest__Output, _fairlead_v1_ListEndpointsResponse>;
  
  ListNodes: grpc.handleUnaryCall<_fairlead_v1_ListNodesRequest__Output, _fairlead_v1_ListNodesResponse>;
  
  ListPolicies: grpc.handleUnaryCall<_fairlead_v1_ListPoliciesRequest__Output, _fairlead_v1_ListPoliciesResponse>;
  
  ListServices: grpc.handleUnaryCall<_fairlead_v1_ListServicesRequest__Output, _fairlead_v1_ListServicesResponse>;
  
  /**
   * History first, oldest flow first, then live flows when `follow` is set.
   */
  ObserveFlows: grpc.handleServerStreamingCall<_fairlead_v1_ObserveFlowsRequest__Output, _fairlead_v1_ObserveFlowsResponse>;
  
  /**
   * What the rules say of a flow between two addresses, as this node judges it. NOT_FOUND when an end is no known pod.
   */
  TracePolicy: grpc.handleUnaryCall<_fairlead_v1_TracePolicyRequest__Output, _fairlead_v1_TracePolicyResponse>;
  
}

export interface AgentDefinition extends grpc.ServiceDefinition {
  ExplainFlow: MethodDefinition<_fairlead_v1_ExplainFlowRequest, _fairlead_v1_ExplainFlowResponse, _fairlead_v1_ExplainFlowRequest__Output, _fairlead_v1_ExplainFlowResponse__Output>
  GetConfig: MethodDefinition<_fairlead_v1_GetConfigRequest, _fairlead_v1_GetConfigResponse, _fairlead_v1_GetConfigRequest__Output, _fairlead_v1_GetConfigResponse__Output>
  GetPolicy: MethodDefinition<_fairlead_v1_GetPolicyRequest, _fairlead_v1_GetPolicyResponse, _fairlead_v1_GetPolicyRequest__Output, _fairlead_v1_GetPolicyResponse__Output>
  GetService: MethodDefinition<_fairlead_v1_GetServiceRequest, _fairlead_v1_GetServiceResponse, _fairlead_v1_GetServiceRequest__Output, _fairlead_v1_GetServiceResponse__Output>
  GetStatus: MethodDefinition<_fairlead_v1_GetStatusRequest, _fairlead_v1_GetStatusResponse, _fairlead_v1_GetStatusRequest__Output, _fairlead_v1_GetStatusResponse__Output>
  ListConntrack: MethodDefinition<_fairlead_v1_ListConntrackRequest, _fairlead_v1_ConntrackEntry, _fairlead_v1_ListConntrackRequest__Output, _fairlead_v1_ConntrackEntry__Output>
  ListDrops: MethodDefinition<_fairlead_v1_ListDropsRequest, _fairlead_v1_ListDropsResponse, _fairlead_v1_ListDropsRequest__Output, _fairlead_v1_ListDropsResponse__Output>
  ListEndpoints: MethodDefinition<_fairlead_v1_ListEndpointsRequest, _fairlead_v1_ListEndpointsResponse, _fairlead_v1_ListEndpointsRequest__Output, _fairlead_v1_ListEndpointsResponse__Output>
  ListNodes: MethodDefinition<_fairlead_v1_ListNodesRequest, _fairlead_v1_ListNodesResponse, _fairlead_v1_ListNodesRequest__Output, _fairlead_v1_ListNodesResponse__Output>
  ListPolicies: MethodDefinition<_fairlead_v1_ListPoliciesRequest, _fairlead_v1_ListPoliciesResponse, _fairlead_v1_ListPoliciesRequest__Output, _fairlead_v1_ListPoliciesResponse__Output>
  ListServices: MethodDefinition<_fairlead_v1_ListServicesRequest, _fairlead_v1_ListServicesResponse, _fairlead_v1_ListServicesRequest__Output, _fairlead_v1_ListServicesResponse__Output>
  ObserveFlows: MethodDefinition<_fairlead_v1_ObserveFlowsRequest, _fairlead_v1_ObserveFlowsResponse, _fairlead_v1_ObserveFlowsRequest__Output, _fairlead_v1_ObserveFlowsResponse__Output>
  TracePolicy: MethodDefinition<_fairlead_v1_TracePolicyRequest, _fairlead_v1_TracePolicyResponse, _fairlead_v1_TracePolicyRequest__Output, _fairlead_v1_TracePolicyResponse__Output>
}
