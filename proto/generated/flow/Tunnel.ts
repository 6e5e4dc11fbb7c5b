// Original file: proto/hubble/flow/flow.proto

import type { IP as _flow_IP, IP__Output as _flow_IP__Output } from '../flow/IP.ts';
import type { Layer4 as _flow_Layer4, Layer4__Output as _flow_Layer4__Output } from '../flow/Layer4.ts';

// Original file: proto/hubble/flow/flow.proto

export const _flow_Tunnel_Protocol = {
  UNKNOWN: 'UNKNOWN',
  VXLAN: 'VXLAN',
  GENEVE: 'GENEVE',
} as const;

export type _flow_Tunnel_Protocol =
  | 'UNKNOWN'
  | 0
  | 'VXLAN'
  | 1
  | 'GENEVE'
  | 2

export type _flow_Tunnel_Protocol__Output = typeof _flow_Tunnel_Protocol[keyof typeof _flow_Tunnel_Protocol]

export interface Tunnel {
  'protocol'?: (_flow_Tunnel_Protocol);
  'IP'?: (_flow_IP | null);
  'l4'?: (_flow_Layer4 | null);
  'vni'?: (number);
}

export interface Tunnel__Output {
  'protocol': (_flow_Tunnel_Protocol__Output);
  'IP': (_flow_IP__Output | null);
  'l4': (_flow_Layer4__Output | null);
  'vni': (number);
}
