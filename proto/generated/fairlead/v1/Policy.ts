// Original file: proto/fairlead/v1/agent.proto

import type { PolicyCounters as _fairlead_v1_PolicyCounters, PolicyCounters__Output as _fairlead_v1_PolicyCounters__Output } from '../../fairlead/v1/PolicyCounters.ts';
import type { PolicyRule as _fairlead_v1_PolicyRule, PolicyRule__Output as _fairlead_v1_PolicyRule__Output } from '../../fairlead/v1/PolicyRule.ts';

export interface Policy {
  'kind'?: (string);
  'namespace'?: (string);
  'name'?: (string);
  /**
   * `Admin 10`, `Baseline 0`; empty for NetworkPolicy.
   */
  'tier'?: (string);
  /**
   * Whom it selects, as a selector.
   */
  'subject'?: (string);
  /**
   * ingress, egress
   */
  'directions'?: (string)[];
  /**
   * Pods of this node that it selects, namespace/name.
   */
  'pods'?: (string)[];
  /**
   * enforced, audit (only reports), closed (its pods are cut off because a map is full), unused (no pod of this node)
   */
  'state'?: (string);
  /**
   * Why it denies more than it says: fields that are not known, maps that are full.
   */
  'problems'?: (string)[];
  /**
   * Numbers of the policy sets it is part of.
   */
  'sets'?: (number)[];
  /**
   * Sum over its rules, and of what it isolates.
   */
  'counters'?: (_fairlead_v1_PolicyCounters | null);
  /**
   * GetPolicy only.
   */
  'rules'?: (_fairlead_v1_PolicyRule)[];
  /**
   * What no rule allowed at pods that it isolates; counts for each policy that isolates them.
   */
  'isolated'?: (_fairlead_v1_PolicyCounters | null);
}

export interface Policy__Output {
  'kind': (string);
  'namespace': (string);
  'name': (string);
  /**
   * `Admin 10`, `Baseline 0`; empty for NetworkPolicy.
   */
  'tier': (string);
  /**
   * Whom it selects, as a selector.
   */
  'subject': (string);
  /**
   * ingress, egress
   */
  'directions': (string)[];
  /**
   * Pods of this node that it selects, namespace/name.
   */
  'pods': (string)[];
  /**
   * enforced, audit (only reports), closed (its pods are cut off because a map is full), unused (no pod of this node)
   */
  'state': (string);
  /**
   * Why it denies more than it says: fields that are not known, maps that are full.
   */
  'problems': (string)[];
  /**
   * Numbers of the policy sets it is part of.
   */
  'sets': (number)[];
  /**
   * Sum over its rules, and of what it isolates.
   */
  'counters': (_fairlead_v1_PolicyCounters__Output | null);
  /**
   * GetPolicy only.
   */
  'rules': (_fairlead_v1_PolicyRule__Output)[];
  /**
   * What no rule allowed at pods that it isolates; counts for each policy that isolates them.
   */
  'isolated': (_fairlead_v1_PolicyCounters__Output | null);
}
