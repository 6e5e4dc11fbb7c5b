// Original file: proto/fairlead/v1/agent.proto

import type { PolicyCounters as _fairlead_v1_PolicyCounters, PolicyCounters__Output as _fairlead_v1_PolicyCounters__Output } from '../../fairlead/v1/PolicyCounters.ts';

export interface PolicyRule {
  /**
   * ingress, egress
   */
  'direction'?: (string);
  'index'?: (number);
  /**
   * Cluster policies may name their rules.
   */
  'name'?: (string);
  /**
   * Number in verdicts; 0 = no pod of this node needs the rule.
   */
  'cookie'?: (number);
  /**
   * accept, deny, pass
   */
  'action'?: (string);
  'peers'?: (string)[];
  'ports'?: (string)[];
  /**
   * How many kinds of peers known on this node the rule is about; absent = everybody.
   */
  'identities'?: (number);
  'counters'?: (_fairlead_v1_PolicyCounters | null);
  '_identities'?: "identities";
}

export interface PolicyRule__Output {
  /**
   * ingress, egress
   */
  'direction': (string);
  'index': (number);
  /**
   * Cluster policies may name their rules.
   */
  'name': (string);
  /**
   * Number in verdicts; 0 = no pod of this node needs the rule.
   */
  'cookie': (number);
  /**
   * accept, deny, pass
   */
  'action': (string);
  'peers': (string)[];
  'ports': (string)[];
  /**
   * How many kinds of peers known on this node the rule is about; absent = everybody.
   */
  'identities'?: (number);
  'counters': (_fairlead_v1_PolicyCounters__Output | null);
  '_identities'?: "identities";
}
