// Original file: proto/hubble/observer/observer.proto

import type { NodeState as _relay_NodeState, NodeState__Output as _relay_NodeState__Output } from '../relay/NodeState.ts';
import type { TLS as _observer_TLS, TLS__Output as _observer_TLS__Output } from '../observer/TLS.ts';
import type { Long } from '@grpc/proto-loader';

export interface Node {
  'name'?: (string);
  'version'?: (string);
  'address'?: (string);
  'state'?: (_relay_NodeState);
  'tls'?: (_observer_TLS | null);
  'uptimeNs'?: (number | string | Long);
  'numFlows'?: (number | string | Long);
  'maxFlows'?: (number | string | Long);
  'seenFlows'?: (number | string | Long);
}

export interface Node__Output {
  'name': (string);
  'version': (string);
  'address': (string);
  'state': (_relay_NodeState__Output);
  'tls': (_observer_TLS__Output | null);
  'uptimeNs': (number);
  'numFlows': (number);
  'maxFlows': (number);
  'seenFlows': (number);
}
