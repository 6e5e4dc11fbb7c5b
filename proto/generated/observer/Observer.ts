// Original file: proto/hubble/observer/observer.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { GetFlowsRequest as _observer_GetFlowsRequest, GetFlowsRequest__Output as _observer_GetFlowsRequest__Output } from '../observer/GetFlowsRequest.ts';
import type { GetFlowsResponse as _observer_GetFlowsResponse, GetFlowsResponse__Output as _observer_GetFlowsResponse__Output } from '../observer/GetFlowsResponse.ts';
import type { GetNamespacesRequest as _observer_GetNamespacesRequest, GetNamespacesRequest__Output as _observer_GetNamespacesRequest__Output } from '../observer/GetNamespacesRequest.ts';
import type { GetNamespacesResponse as _observer_GetNamespacesResponse, GetNamespacesResponse__Output as _observer_GetNamespacesResponse__Output } from '../observer/GetNamespacesResponse.ts';
import type { GetNodesRequest as _observer_GetNodesRequest, GetNodesRequest__Output as _observer_GetNodesRequest__Output } from '../observer/GetNodesRequest.ts';
import type { GetNodesResponse as _observer_GetNodesResponse, GetNodesResponse__Output as _observer_GetNodesResponse__Output } from '../observer/GetNodesResponse.ts';
import type { ServerStatusRequest as _observer_ServerStatusRequest, ServerStatusRequest__Output as _observer_ServerStatusRequest__Output } from '../observer/ServerStatusRequest.ts';
import type { ServerStatusResponse as _observer_ServerStatusResponse, ServerStatusResponse__Output as _observer_ServerStatusResponse__Output } from '../observer/ServerStatusResponse.ts';

export interface ObserverClient extends grpc.Client {
  GetFlows(argument: _observer_GetFlowsRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_observer_GetFlowsResponse__Output>;
  GetFlows(argument: _observer_GetFlowsRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_observer_GetFlowsResponse__Output>;
  getFlows(argument: _observer_GetFlowsRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_observer_GetFlowsResponse__Output>;
  getFlows(argument: _observer_GetFlowsRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_observer_GetFlowsResponse__Output>;
  
  GetNamespaces(argument: _observer_GetNamespacesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_observer_GetNamespacesResponse__Output>): grpc.ClientUnaryCall;
  GetNamespaces(argument: _observer_GetNamespacesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_observer_GetNamespacesResponse__Output>): grpc.ClientUnaryCall;
  GetNamespaces(argument: _observer_GetNamespacesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_observer_GetNamespacesResponse__Output>): grpc.ClientUnaryCall;
  GetNamespaces(argument: _observer_GetNamespacesRequest, callback: grpc.requestCallback<_observer_GetNamespacesResponse__Output>): grpc.ClientUnaryCall;
  getNamespaces(argument: _observer_GetNamespacesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_observer_GetNamespacesResponse__Output>): grpc.ClientUnaryCall;
  getNamespaces(argument: _observer_GetNamespacesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_observer_GetNamespacesResponse__Output>): grpc.ClientUnaryCall;
  getNamespaces(argument: _observer_GetNamespacesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_observer_GetNamespacesResponse__Output>): grpc.ClientUnaryCall;
  getNamespaces(argument: _observer_GetNamespacesRequest, callback: grpc.requestCallback<_observer_GetNamespacesResponse__Output>): grpc.ClientUnaryCall;
  
  GetNodes(argument: _observer_GetNodesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_observer_GetNodesResponse__Output>): grpc.ClientUnaryCall;
  GetNodes(argument: _observer_GetNodesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_observer_GetNodesResponse__Output>): grpc.ClientUnaryCall;
  GetNodes(argument: _observer_GetNodesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_observer_GetNodesResponse__Output>): grpc.ClientUnaryCall;
  GetNodes(argument: _observer_GetNodesRequest, callback: grpc.requestCallback<_observer_GetNodesResponse__Output>): grpc.ClientUnaryCall;
  getNodes(argument: _observer_GetNodesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_observer_GetNodesResponse__Output>): grpc.ClientUnaryCall;
  getNodes(argument: _observer_GetNodesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_observer_GetNodesResponse__Output>): grpc.ClientUnaryCall;
  getNodes(argument: _observer_GetNodesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_observer_GetNodesResponse__Output>): grpc.ClientUnaryCall;
  getNodes(argument: _observer_GetNodesRequest, callback: grpc.requestCallback<_observer_GetNodesResponse__Output>): grpc.ClientUnaryCall;
  
  ServerStatus(argument: _observer_ServerStatusRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_observer_ServerStatusResponse__Output>): grpc.ClientUnaryCall;
  ServerStatus(argument: _observer_ServerStatusRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_observer_ServerStatusResponse__Output>): grpc.ClientUnaryCall;
  ServerStatus(argument: _observer_ServerStatusRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_observer_ServerStatusResponse__Output>): grpc.ClientUnaryCall;
  ServerStatus(argument: _observer_ServerStatusRequest, callback: grpc.requestCallback<_observer_ServerStatusResponse__Output>): grpc.ClientUnaryCall;
  serverStatus(argument: _observer_ServerStatusRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_observer_ServerStatusResponse__Output>): grpc.ClientUnaryCall;
  serverStatus(argument: _observer_ServerStatusRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_observer_ServerStatusResponse__Output>): grpc.ClientUnaryCall;
  serverStatus(argument: _observer_ServerStatusRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_observer_ServerStatusResponse__Output>): grpc.ClientUnaryCall;
  serverStatus(argument: _observer_ServerStatusRequest, callback: grpc.requestCallback<_observer_ServerStatusResponse__Output>): grpc.ClientUnaryCall;
  
}

export interface ObserverHandlers extends grpc.UntypedServiceImplementation {
  GetFlows: grpc.handleServerStreamingCall<_observer_GetFlowsRequest__Output, _observer_GetFlowsResponse>;
  
  GetNamespaces: grpc.handleUnaryCall<_observer_GetNamespacesRequest__Output, _observer_GetNamespacesResponse>;
  
  GetNodes: grpc.handleUnaryCall<_observer_GetNodesRequest__Output, _observer_GetNodesResponse>;
  
  ServerStatus: grpc.handleUnaryCall<_observer_ServerStatusRequest__Output, _observer_ServerStatusResponse>;
  
}

export interface ObserverDefinition extends grpc.ServiceDefinition {
  GetFlows: MethodDefinition<_observer_GetFlowsRequest, _observer_GetFlowsResponse, _observer_GetFlowsRequest__Output, _observer_GetFlowsResponse__Output>
  GetNamespaces: MethodDefinition<_observer_GetNamespacesRequest, _observer_GetNamespacesResponse, _observer_GetNamespacesRequest__Output, _observer_GetNamespacesResponse__Output>
  GetNodes: MethodDefinition<_observer_GetNodesRequest, _observer_GetNodesResponse, _observer_GetNodesRequest__Output, _observer_GetNodesResponse__Output>
  ServerStatus: MethodDefinition<_observer_ServerStatusRequest, _observer_ServerStatusResponse, _observer_ServerStatusRequest__Output, _observer_ServerStatusResponse__Output>
}
