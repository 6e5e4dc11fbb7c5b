// Original file: proto/hubble/flow/flow.proto

export const TraceReason = {
  TRACE_REASON_UNKNOWN: 'TRACE_REASON_UNKNOWN',
  NEW: 'NEW',
  ESTABLISHED: 'ESTABLISHED',
  REPLY: 'REPLY',
  RELATED: 'RELATED',
} as const;

export type TraceReason =
  | 'TRACE_REASON_UNKNOWN'
  | 0
  | 'NEW'
  | 1
  | 'ESTABLISHED'
  | 2
  | 'REPLY'
  | 3
  | 'RELATED'
  | 4

export type TraceReason__Output = typeof TraceReason[keyof typeof TraceReason]
