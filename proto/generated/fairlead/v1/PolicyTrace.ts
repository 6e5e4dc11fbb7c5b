// Original file: proto/fairlead/v1/agent.proto

import type { PolicyTraceStep as _fairlead_v1_PolicyTraceStep, PolicyTraceStep__Output as _fairlead_v1_PolicyTraceStep__Output } from '../../fairlead/v1/PolicyTraceStep.ts';

export interface PolicyTrace {
  'direction'?: (string);
  'pod'?: (string);
  /**
   * The other end as the rules see it.
   */
  'peer'?: (string);
  'identity'?: (number);
  'policySet'?: (number);
  /**
   * allowed, denied, audited
   */
  'verdict'?: (string);
  'by'?: (string);
  /**
   * When no rule allows it: the policies that isolate the pod.
   */
  'isolatedBy'?: (string)[];
  'steps'?: (_fairlead_v1_PolicyTraceStep)[];
}

export interface PolicyTrace__Output {
  'direction': (string);
  'pod': (string);
  /**
   * The other end as the rules see it.
   */
  'peer': (string);
  'identity': (number);
  'policySet': (number);
  /**
   * allowed, denied, audited
   */
  'verdict': (string);
  'by': (string);
  /**
   * When no rule allows it: the policies that isolate the pod.
   */
  'isolatedBy': (string)[];
  'steps': (_fairlead_v1_PolicyTraceStep__Output)[];
}
