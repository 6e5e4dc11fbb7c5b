// Original file: proto/hubble/flow/flow.proto

import type { Workload as _flow_Workload, Workload__Output as _flow_Workload__Output } from '../flow/Workload.ts';

export interface Endpoint {
  'ID'?: (number);
  'identity'?: (number);
  'namespace'?: (string);
  'labels'?: (string)[];
  'podName'?: (string);
  'workloads'?: (_flow_Workload)[];
  'clusterName'?: (string);
}

export interface Endpoint__Output {
  'ID': (number);
  'identity': (number);
  'namespace': (string);
  'labels': (string)[];
  'podName': (string);
  'workloads': (_flow_Workload__Output)[];
  'clusterName': (string);
}
