// Original file: proto/fairlead/v1/agent.proto

import type { Frontend as _fairlead_v1_Frontend, Frontend__Output as _fairlead_v1_Frontend__Output } from '../../fairlead/v1/Frontend.ts';

export interface Service {
  'namespace'?: (string);
  'name'?: (string);
  /**
   * ClusterIP, NodePort, LoadBalancer, HostPort
   */
  'type'?: (string);
  'frontends'?: (_fairlead_v1_Frontend)[];
  'clusterIps'?: (string)[];
  'externalIps'?: (string)[];
  /**
   * Seconds; 0 = no session affinity.
   */
  'affinitySeconds'?: (number);
  'internalTrafficPolicy'?: (string);
  'externalTrafficPolicy'?: (string);
}

export interface Service__Output {
  'namespace': (string);
  'name': (string);
  /**
   * ClusterIP, NodePort, LoadBalancer, HostPort
   */
  'type': (string);
  'frontends': (_fairlead_v1_Frontend__Output)[];
  'clusterIps': (string)[];
  'externalIps': (string)[];
  /**
   * Seconds; 0 = no session affinity.
   */
  'affinitySeconds': (number);
  'internalTrafficPolicy': (string);
  'externalTrafficPolicy': (string);
}
