// Original file: proto/fairlead/v1/agent.proto


export interface ListNodesRequest {
}

export interface ListNodesRequest__Output {
}
