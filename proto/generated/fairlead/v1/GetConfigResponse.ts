// Original file: proto/fairlead/v1/agent.proto

import type { Setting as _fairlead_v1_Setting, Setting__Output as _fairlead_v1_Setting__Output } from '../../fairlead/v1/Setting.ts';

export interface GetConfigResponse {
  'settings'?: (_fairlead_v1_Setting)[];
}

export interface GetConfigResponse__Output {
  'settings': (_fairlead_v1_Setting__Output)[];
}
