// Original file: proto/hubble/observer/observer.proto

import type { Namespace as _observer_Namespace, Namespace__Output as _observer_Namespace__Output } from '../observer/Namespace.ts';

export interface GetNamespacesResponse {
  'namespaces'?: (_observer_Namespace)[];
}

export interface GetNamespacesResponse__Output {
  'namespaces': (_observer_Namespace__Output)[];
}
