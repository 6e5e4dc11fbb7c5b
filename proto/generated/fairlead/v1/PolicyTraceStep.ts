// Original file: proto/fairlead/v1/agent.proto


export interface PolicyTraceStep {
  'rule'?: (string);
  /**
   * admin, network, baseline
   */
  'tier'?: (string);
  'outcome'?: (string);
  /**
   * Of a policy in audit mode: the outcome is what it would be if it were enforced.
   */
  'audit'?: (boolean);
}

export interface PolicyTraceStep__Output {
  'rule': (string);
  /**
   * admin, network, baseline
   */
  'tier': (string);
  'outcome': (string);
  /**
   * Of a policy in audit mode: the outcome is what it would be if it were enforced.
   */
  'audit': (boolean);
}
