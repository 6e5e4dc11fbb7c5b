// Original file: proto/fairlead/v1/agent.proto

import type { Endpoint as _fairlead_v1_Endpoint, Endpoint__Output as _fairlead_v1_Endpoint__Output } from '../../fairlead/v1/Endpoint.ts';

export interface ListEndpointsResponse {
  'endpoints'?: (_fairlead_v1_Endpoint)[];
}

export interface ListEndpointsResponse__Output {
  'endpoints': (_fairlead_v1_Endpoint__Output)[];
}
