// Original file: proto/hubble/relay/relay.proto

import type { NodeState as _relay_NodeState, NodeState__Output as _relay_NodeState__Output } from '../relay/NodeState.ts';

export interface NodeStatusEvent {
  'stateChange'?: (_relay_NodeState);
  'nodeNames'?: (string)[];
  'message'?: (string);
}

export interface NodeStatusEvent__Output {
  'stateChange': (_relay_NodeState__Output);
  'nodeNames': (string)[];
  'message': (string);
}
