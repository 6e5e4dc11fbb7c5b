// Original file: proto/hubble/flow/flow.proto

export const LostEventSource = {
  UNKNOWN_LOST_EVENT_SOURCE: 'UNKNOWN_LOST_EVENT_SOURCE',
  PERF_EVENT_RING_BUFFER: 'PERF_EVENT_RING_BUFFER',
  OBSERVER_EVENTS_QUEUE: 'OBSERVER_EVENTS_QUEUE',
  HUBBLE_RING_BUFFER: 'HUBBLE_RING_BUFFER',
} as const;

export type LostEventSource =
  | 'UNKNOWN_LOST_EVENT_SOURCE'
  | 0
  | 'PERF_EVENT_RING_BUFFER'
  | 1
  | 'OBSERVER_EVENTS_QUEUE'
  | 2
  | 'HUBBLE_RING_BUFFER'
  | 3

export type LostEventSource__Output = typeof LostEventSource[keyof typeof LostEventSource]
