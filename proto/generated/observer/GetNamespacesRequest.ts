// Original file: proto/hubble/observer/observer.proto


export interface GetNamespacesRequest {
}

export interface GetNamespacesRequest__Output {
}
