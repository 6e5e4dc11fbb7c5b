// Original file: proto/fairlead/v1/agent.proto

import type { DropCount as _fairlead_v1_DropCount, DropCount__Output as _fairlead_v1_DropCount__Output } from '../../fairlead/v1/DropCount.ts';

export interface ListDropsResponse {
  'drops'?: (_fairlead_v1_DropCount)[];
}

export interface ListDropsResponse__Output {
  'drops': (_fairlead_v1_DropCount__Output)[];
}
