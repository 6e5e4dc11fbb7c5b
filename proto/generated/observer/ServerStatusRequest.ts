// Original file: proto/hubble/observer/observer.proto


export interface ServerStatusRequest {
}

export interface ServerStatusRequest__Output {
}
