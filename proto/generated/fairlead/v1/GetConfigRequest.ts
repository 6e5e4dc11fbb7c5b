// Original file: proto/fairlead/v1/agent.proto


export interface GetConfigRequest {
}

export interface GetConfigRequest__Output {
}
