// Original file: proto/fairlead/v1/agent.proto

export const Verdict = {
  VERDICT_UNSPECIFIED: 'VERDICT_UNSPECIFIED',
  VERDICT_FORWARDED: 'VERDICT_FORWARDED',
  VERDICT_DROPPED: 'VERDICT_DROPPED',
  VERDICT_ERROR: 'VERDICT_ERROR',
  /**
   * Let through only because of a policy's audit mode.
   */
  VERDICT_AUDIT: 'VERDICT_AUDIT',
  VERDICT_TRANSLATED: 'VERDICT_TRANSLATED',
} as const;

export type Verdict =
  | 'VERDICT_UNSPECIFIED'
  | 0
  | 'VERDICT_FORWARDED'
  | 1
  | 'VERDICT_DROPPED'
  | 2
  | 'VERDICT_ERROR'
  | 3
  /**
   * Let through only because of a policy's audit mode.
   */
  | 'VERDICT_AUDIT'
  | 4
  | 'VERDICT_TRANSLATED'
  | 7

export type Verdict__Output = typeof Verdict[keyof typeof Verdict]
