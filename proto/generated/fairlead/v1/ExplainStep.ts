// Original file: proto/fairlead/v1/agent.proto


export interface ExplainStep {
  /**
   * source, service, backend, egress, destination, ingress, delivery
   */
  'about'?: (string);
  /**
   * ok, drop, audit, elsewhere, info
   */
  'outcome'?: (string);
  'text'?: (string);
}

export interface ExplainStep__Output {
  /**
   * source, service, backend, egress, destination, ingress, delivery
   */
  'about': (string);
  /**
   * ok, drop, audit, elsewhere, info
   */
  'outcome': (string);
  'text': (string);
}
