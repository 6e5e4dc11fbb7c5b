// Original file: proto/fairlead/v1/agent.proto

import type { ExplainStep as _fairlead_v1_ExplainStep, ExplainStep__Output as _fairlead_v1_ExplainStep__Output } from '../../fairlead/v1/ExplainStep.ts';
import type { Flow as _fairlead_v1_Flow, Flow__Output as _fairlead_v1_Flow__Output } from '../../fairlead/v1/Flow.ts';

export interface ExplainFlowResponse {
  /**
   * forwarded, dropped, partly (some backends of the service are not reached), elsewhere (other nodes decide), stack (Fairlead leaves
   * it to the node)
   */
  'verdict'?: (string);
  /**
   * Name of the drop reason; empty = not dropped.
   */
  'reason'?: (string);
  'text'?: (string);
  'remedy'?: (string);
  'source'?: (string);
  'destination'?: (string);
  /**
   * In the order in which a packet meets them.
   */
  'steps'?: (_fairlead_v1_ExplainStep)[];
  /**
   * Drops of these two ends that the flow history still has, newest first.
   */
  'drops'?: (_fairlead_v1_Flow)[];
  'nodeName'?: (string);
}

export interface ExplainFlowResponse__Output {
  /**
   * forwarded, dropped, partly (some backends of the service are not reached), elsewhere (other nodes decide), stack (Fairlead leaves
   * it to the node)
   */
  'verdict': (string);
  /**
   * Name of the drop reason; empty = not dropped.
   */
  'reason': (string);
  'text': (string);
  'remedy': (string);
  'source': (string);
  'destination': (string);
  /**
   * In the order in which a packet meets them.
   */
  'steps': (_fairlead_v1_ExplainStep__Output)[];
  /**
   * Drops of these two ends that the flow history still has, newest first.
   */
  'drops': (_fairlead_v1_Flow__Output)[];
  'nodeName': (string);
}
