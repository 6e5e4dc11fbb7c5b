// Original file: proto/fairlead/v1/agent.proto

import type { Service as _fairlead_v1_Service, Service__Output as _fairlead_v1_Service__Output } from '../../fairlead/v1/Service.ts';

export interface ListServicesResponse {
  'services'?: (_fairlead_v1_Service)[];
}

export interface ListServicesResponse__Output {
  'services': (_fairlead_v1_Service__Output)[];
}
