// Original file: proto/hubble/observer/observer.proto


export interface GetNodesRequest {
}

export interface GetNodesRequest__Output {
}
