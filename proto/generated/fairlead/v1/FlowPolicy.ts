// Original file: proto/fairlead/v1/agent.proto

import type { PolicyRef as _fairlead_v1_PolicyRef, PolicyRef__Output as _fairlead_v1_PolicyRef__Output } from '../../fairlead/v1/PolicyRef.ts';

export interface FlowPolicy {
  /**
   * allowed, denied, audited (would be denied if it were not for audit mode)
   */
  'verdict'?: (string);
  /**
   * Who decided, for people.
   */
  'text'?: (string);
  /**
   * The rule's policy, or those that isolate the pod without allowing the flow.
   */
  'policies'?: (_fairlead_v1_PolicyRef)[];
  /**
   * `ingress rule 0`; empty = no rule decided.
   */
  'rule'?: (string);
  'cookie'?: (number);
}

export interface FlowPolicy__Output {
  /**
   * allowed, denied, audited (would be denied if it were not for audit mode)
   */
  'verdict': (string);
  /**
   * Who decided, for people.
   */
  'text': (string);
  /**
   * The rule's policy, or those that isolate the pod without allowing the flow.
   */
  'policies': (_fairlead_v1_PolicyRef__Output)[];
  /**
   * `ingress rule 0`; empty = no rule decided.
   */
  'rule': (string);
  'cookie': (number);
}
