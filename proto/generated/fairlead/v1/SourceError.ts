// Original file: proto/fairlead/v1/agent.proto


/**
 * A part of the desired state that could not be read. Everything else stays in force.
 */
export interface SourceError {
  'origin'?: (string);
  'object'?: (string);
  'field'?: (string);
  'message'?: (string);
}

/**
 * A part of the desired state that could not be read. Everything else stays in force.
 */
export interface SourceError__Output {
  'origin': (string);
  'object': (string);
  'field': (string);
  'message': (string);
}
