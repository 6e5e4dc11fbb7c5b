// Original file: proto/fairlead/v1/agent.proto


export interface ListDropsRequest {
  /**
   * Include reasons that never occurred.
   */
  'all'?: (boolean);
}

export interface ListDropsRequest__Output {
  /**
   * Include reasons that never occurred.
   */
  'all': (boolean);
}
