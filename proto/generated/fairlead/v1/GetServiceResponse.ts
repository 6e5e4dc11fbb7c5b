// Original file: proto/fairlead/v1/agent.proto

import type { Service as _fairlead_v1_Service, Service__Output as _fairlead_v1_Service__Output } from '../../fairlead/v1/Service.ts';

export interface GetServiceResponse {
  'service'?: (_fairlead_v1_Service | null);
}

export interface GetServiceResponse__Output {
  'service': (_fairlead_v1_Service__Output | null);
}
