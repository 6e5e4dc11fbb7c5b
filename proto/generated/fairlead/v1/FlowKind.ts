// Original file: proto/fairlead/v1/agent.proto

export const FlowKind = {
  FLOW_KIND_UNSPECIFIED: 'FLOW_KIND_UNSPECIFIED',
  FLOW_KIND_NEW: 'FLOW_KIND_NEW',
  FLOW_KIND_DROP: 'FLOW_KIND_DROP',
  FLOW_KIND_CLOSE: 'FLOW_KIND_CLOSE',
  FLOW_KIND_CONNECT: 'FLOW_KIND_CONNECT',
  FLOW_KIND_NAT_EXHAUSTED: 'FLOW_KIND_NAT_EXHAUSTED',
  FLOW_KIND_AUDIT: 'FLOW_KIND_AUDIT',
} as const;

export type FlowKind =
  | 'FLOW_KIND_UNSPECIFIED'
  | 0
  | 'FLOW_KIND_NEW'
  | 1
  | 'FLOW_KIND_DROP'
  | 2
  | 'FLOW_KIND_CLOSE'
  | 3
  | 'FLOW_KIND_CONNECT'
  | 4
  | 'FLOW_KIND_NAT_EXHAUSTED'
  | 5
  | 'FLOW_KIND_AUDIT'
  | 6

export type FlowKind__Output = typeof FlowKind[keyof typeof FlowKind]
