// Original file: proto/fairlead/v1/agent.proto


export interface Setting {
  'key'?: (string);
  /**
   * JSON.
   */
  'value'?: (string);
  /**
   * default, file, environment, flag, automatic
   */
  'origin'?: (string);
  /**
   * Why an automatic value was chosen.
   */
  'why'?: (string);
}

export interface Setting__Output {
  'key': (string);
  /**
   * JSON.
   */
  'value': (string);
  /**
   * default, file, environment, flag, automatic
   */
  'origin': (string);
  /**
   * Why an automatic value was chosen.
   */
  'why': (string);
}
