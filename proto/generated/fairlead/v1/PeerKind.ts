// Original file: proto/fairlead/v1/agent.proto

export const PeerKind = {
  PEER_KIND_UNKNOWN: 'PEER_KIND_UNKNOWN',
  PEER_KIND_POD: 'PEER_KIND_POD',
  PEER_KIND_SERVICE: 'PEER_KIND_SERVICE',
  PEER_KIND_HOST: 'PEER_KIND_HOST',
  PEER_KIND_REMOTE_NODE: 'PEER_KIND_REMOTE_NODE',
  PEER_KIND_WORLD: 'PEER_KIND_WORLD',
} as const;

export type PeerKind =
  | 'PEER_KIND_UNKNOWN'
  | 0
  | 'PEER_KIND_POD'
  | 1
  | 'PEER_KIND_SERVICE'
  | 2
  | 'PEER_KIND_HOST'
  | 3
  | 'PEER_KIND_REMOTE_NODE'
  | 4
  | 'PEER_KIND_WORLD'
  | 5

export type PeerKind__Output = typeof PeerKind[keyof typeof PeerKind]
