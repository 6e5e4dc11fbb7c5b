// Original file: proto/fairlead/v1/agent.proto

import type { Duration as _google_protobuf_Duration, Duration__Output as _google_protobuf_Duration__Output } from '../../google/protobuf/Duration.ts';
import type { Long } from '@grpc/proto-loader';

/**
 * A connection. A translated one has an entry for each direction, which are shown as one; an entry whose other half is gone is shown as it is.
 */
export interface ConntrackEntry {
  'protocol'?: (string);
  /**
   * Who opened the connection, and whom it addressed.
   */
  'source'?: (string);
  'sourcePort'?: (number);
  'destination'?: (string);
  'destinationPort'?: (number);
  /**
   * What the destination becomes, or the source of replies of an entry with the flag svc_reply; empty = not translated.
   */
  'translated'?: (string);
  'translatedPort'?: (number);
  /**
   * new, established, closing
   */
  'state'?: (string);
  /**
   * Lower case names of enum ct_flags that `state` does not tell.
   */
  'flags'?: (string)[];
  'idle'?: (_google_protobuf_Duration | null);
  'age'?: (_google_protobuf_Duration | null);
  'packetsForward'?: (number | string | Long);
  'packetsReply'?: (number | string | Long);
  'bytesForward'?: (number | string | Long);
  'bytesReply'?: (number | string | Long);
  'sourceName'?: (string);
  'destinationName'?: (string);
  /**
   * Source port after rewriting; 0 = unchanged.
   */
  'snatPort'?: (number);
}

/**
 * A connection. A translated one has an entry for each direction, which are shown as one; an entry whose other half is gone is shown as it is.
 */
export interface ConntrackEntry__Output {
  'protocol': (string);
  /**
   * Who opened the connection, and whom it addressed.
   */
  'source': (string);
  'sourcePort': (number);
  'destination': (string);
  'destinationPort': (number);
  /**
   * What the destination becomes, or the source of replies of an entry with the flag svc_reply; empty = not translated.
   */
  'translated': (string);
  'translatedPort': (number);
  /**
   * new, established, closing
   */
  'state': (string);
  /**
   * Lower case names of enum ct_flags that `state` does not tell.
   */
  'flags': (string)[];
  'idle': (_google_protobuf_Duration__Output | null);
  'age': (_google_protobuf_Duration__Output | null);
  'packetsForward': (number);
  'packetsReply': (number);
  'bytesForward': (number);
  'bytesReply': (number);
  'sourceName': (string);
  'destinationName': (string);
  /**
   * Source port after rewriting; 0 = unchanged.
   */
  'snatPort': (number);
}
