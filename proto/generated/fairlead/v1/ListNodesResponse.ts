// Original file: proto/fairlead/v1/agent.proto

import type { Node as _fairlead_v1_Node, Node__Output as _fairlead_v1_Node__Output } from '../../fairlead/v1/Node.ts';

export interface ListNodesResponse {
  'nodes'?: (_fairlead_v1_Node)[];
}

export interface ListNodesResponse__Output {
  'nodes': (_fairlead_v1_Node__Output)[];
}
