// Original file: proto/hubble/flow/flow.proto

export const Verdict = {
  VERDICT_UNKNOWN: 'VERDICT_UNKNOWN',
  FORWARDED: 'FORWARDED',
  DROPPED: 'DROPPED',
  ERROR: 'ERROR',
  AUDIT: 'AUDIT',
  REDIRECTED: 'REDIRECTED',
  TRACED: 'TRACED',
  TRANSLATED: 'TRANSLATED',
} as const;

export type Verdict =
  | 'VERDICT_UNKNOWN'
  | 0
  | 'FORWARDED'
  | 1
  | 'DROPPED'
  | 2
  | 'ERROR'
  | 3
  | 'AUDIT'
  | 4
  | 'REDIRECTED'
  | 5
  | 'TRACED'
  | 6
  | 'TRANSLATED'
  | 7

export type Verdict__Output = typeof Verdict[keyof typeof Verdict]
