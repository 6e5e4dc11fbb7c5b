// Original file: proto/fairlead/v1/agent.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { ConntrackEntry as _fairlead_v1_ConntrackEntry, ConntrackEntry__Output as _fairlead_v1_ConntrackEntry__Output } from '../../fairlead/v1/ConntrackEntry.ts';
import type { GetConfigRequest as _fairlead_v1_GetConfigRequest, GetConfigRequest__Output as _fairlead_v1_GetConfigRequest__Output } from '../../fairlead/v1/GetConfigRequest.ts';
import type { GetConfigResponse as _fairlead_v1_GetConfigResponse, GetConfigResponse__Output as _fairlead_v1_GetConfigResponse__Output } from '../../fairlead/v1/GetConfigResponse.ts';
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
import type { ListServicesRequest as _fairlead_v1_ListServicesRequest, ListServicesRequest__Output as _fairlead_v1_ListServicesRequest__Output } from '../../fairlead/v1/ListServicesRequest.ts';
import type { ListServicesResponse as _fairlead_v1_ListServicesResponse, ListServicesResponse__Output as _fairlead_v1_ListServicesResponse__Output } from '../../fairlead/v1/ListServicesResponse.ts';
import type { ObserveFlowsRequest as _fairlead_v1_ObserveFlowsRequest, ObserveFlowsRequest__Output as _fairlead_v1_ObserveFlowsRequest__Output } from '../../fairlead/v1/ObserveFlowsRequest.ts';
import type { ObserveFlowsResponse as _fairlead_v1_ObserveFlowsResponse, ObserveFlowsResponse__Output as _fairlead_v1_ObserveFlowsResponse__Output } from '../../fairlead/v1/ObserveFlowsResponse.ts';

export interface AgentClient extends grpc.Client {
  GetConfig(argument: _fairlead_v1_GetConfigRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetConfigResponse__Output>): grpc.ClientUnaryCall;
  GetConfig(argument: _fairlead_v1_GetConfigRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_GetConfigResponse__Output>): grpc.ClientUnaryCall;
  GetConfig(argument: _fairlead_v1_GetConfigRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetConfigResponse__Output>): grpc.ClientUnaryCall;
  GetConfig(argument: _fairlead_v1_GetConfigRequest, callback: grpc.requestCallback<_fairlead_v1_GetConfigResponse__Output>): grpc.ClientUnaryCall;
  getConfig(argument: _fairlead_v1_GetConfigRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetConfigResponse__Output>): grpc.ClientUnaryCall;
  getConfig(argument: _fairlead_v1_GetConfigRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_fairlead_v1_GetConfigResponse__Output>): grpc.ClientUnaryCall;
  getConfig(argument: _fairlead_v1_GetConfigRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_fairlead_v1_GetConfigResponse__Output>): grpc.ClientUnaryCall;
  getConfig(argument: _fairlead_v1_GetConfigRequest, callback: grpc.requestCallback<_fairlead_v1_GetConfigResponse__Output>): grpc.ClientUnaryCall;
  
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
  
}

export interface AgentHandlers extends grpc.UntypedServiceImplementation {
  GetConfig: grpc.handleUnaryCall<_fairlead_v1_GetConfigRequest__Output, _fairlead_v1_GetConfigResponse>;
  
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
  
  ListServices: grpc.handleUnaryCall<_fairlead_v1_ListServicesRequest__Output, _fairlead_v1_ListServicesResponse>;
  
  /**
   * History first, oldest flow first, then live flows when `follow` is set.
   */
  ObserveFlows: grpc.handleServerStreamingCall<_fairlead_v1_ObserveFlowsRequest__Output, _fairlead_v1_ObserveFlowsResponse>;
  
}

export interface AgentDefinition extends grpc.ServiceDefinition {
  GetConfig: MethodDefinition<_fairlead_v1_GetConfigRequest, _fairlead_v1_GetConfigResponse, _fairlead_v1_GetConfigRequest__Output, _fairlead_v1_GetConfigResponse__Output>
  GetService: MethodDefinition<_fairlead_v1_GetServiceRequest, _fairlead_v1_GetServiceResponse, _fairlead_v1_GetServiceRequest__Output, _fairlead_v1_GetServiceResponse__Output>
  GetStatus: MethodDefinition<_fairlead_v1_GetStatusRequest, _fairlead_v1_GetStatusResponse, _fairlead_v1_GetStatusRequest__Output, _fairlead_v1_GetStatusResponse__Output>
  ListConntrack: MethodDefinition<_fairlead_v1_ListConntrackRequest, _fairlead_v1_ConntrackEntry, _fairlead_v1_ListConntrackRequest__Output, _fairlead_v1_ConntrackEntry__Output>
  ListDrops: MethodDefinition<_fairlead_v1_ListDropsRequest, _fairlead_v1_ListDropsResponse, _fairlead_v1_ListDropsRequest__Output, _fairlead_v1_ListDropsResponse__Output>
  ListEndpoints: MethodDefinition<_fairlead_v1_ListEndpointsRequest, _fairlead_v1_ListEndpointsResponse, _fairlead_v1_ListEndpointsRequest__Output, _fairlead_v1_ListEndpointsResponse__Output>
  ListNodes: MethodDefinition<_fairlead_v1_ListNodesRequest, _fairlead_v1_ListNodesResponse, _fairlead_v1_ListNodesRequest__Output, _fairlead_v1_ListNodesResponse__Output>
  ListServices: MethodDefinition<_fairlead_v1_ListServicesRequest, _fairlead_v1_ListServicesResponse, _fairlead_v1_ListServicesRequest__Output, _fairlead_v1_ListServicesResponse__Output>
  ObserveFlows: MethodDefinition<_fairlead_v1_ObserveFlowsRequest, _fairlead_v1_ObserveFlowsResponse, _fairlead_v1_ObserveFlowsRequest__Output, _fairlead_v1_ObserveFlowsResponse__Output>
}
