// Original file: proto/fairlead/v1/agent.proto

export const TrafficDirection = {
  TRAFFIC_DIRECTION_UNSPECIFIED: 'TRAFFIC_DIRECTION_UNSPECIFIED',
  TRAFFIC_DIRECTION_INGRESS: 'TRAFFIC_DIRECTION_INGRESS',
  TRAFFIC_DIRECTION_EGRESS: 'TRAFFIC_DIRECTION_EGRESS',
} as const;

export type TrafficDirection =
  | 'TRAFFIC_DIRECTION_UNSPECIFIED'
  | 0
  | 'TRAFFIC_DIRECTION_INGRESS'
  | 1
  | 'TRAFFIC_DIRECTION_EGRESS'
  | 2

export type TrafficDirection__Output = typeof TrafficDirection[keyof typeof TrafficDirection]
