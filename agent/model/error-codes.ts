/**
 * Every stable error code of Fairlead, in one table. Scripts and dashboards match on these strings, so a code is
 * never renamed or reused; docs/errors.md explains each one and a test keeps the two lists equal.
 */
export const ERROR_CODES = {
	ADDRESS_INVALID: 'text is not an IP address or CIDR',
	KERNEL_TOO_OLD: 'the kernel lacks something Fairlead cannot do without',
	CONFIG_INVALID: 'a configuration source has an unknown key or a value of the wrong form',
	CONFIG_UNREADABLE: 'the configuration file cannot be read or is not YAML',
	CONFIG_CONFLICT: 'two configuration values contradict each other or the node',
	SOURCE_UNREADABLE: 'a file or directory of the files source cannot be read',
	API_CONFIG: 'the kubeconfig, the service account or the address of the API server cannot be used',
	API_UNREACHABLE: 'an API server cannot be connected to, or the connection broke',
	API_REFUSED: 'the API server answered a request with an error',
	MAP_FULL: 'a BPF map has no room for another entry',
	MAP_WRITE: 'an entry of a BPF map cannot be written or deleted',
	MAP_LAYOUT: 'a pinned BPF map has another layout than this version of Fairlead expects',
	MAP_CORRUPT: 'the content of a BPF map contradicts itself',
	PROGRAM_LOAD: 'the kernel refused to load a BPF program',
	ATTACH_FAILED: 'a BPF program cannot be attached to a device or cgroup',
	DEVICE_CONFLICT: 'a network device that Fairlead needs exists as something else, or vanished',
	UPLINK_UNKNOWN: 'the interface that leads to the other nodes cannot be told',
	SYSCTL_FAILED: 'a kernel setting below /proc/sys cannot be read or written',
	NETLINK_REFUSED: 'the kernel refused a change of links, addresses, routes or neighbours',
	REQUEST_INVALID: 'a field of an API request has a value of the wrong form',
	SOCKET_BUSY: 'another process already serves the unix socket or the port',
	LISTEN_FAILED: 'a server socket cannot be opened',
	AGENT_UNREACHABLE: 'the command line tool cannot connect to the agent',
	AGENT_ERROR: 'the agent answered a request of the command line tool with an error',
	ENDPOINT_EXISTS: 'the container already has an attachment, or the interface name is taken in its network namespace',
	ENDPOINT_UNKNOWN: 'no attachment is known for the container and interface',
	ENDPOINT_LIMIT: 'all rows of the endpoint table are in use',
	ENDPOINT_TIMEOUT: 'an attachment was given up because its deadline passed or its caller went away',
	ENDPOINT_CHANGED:
		'an attachment is not as it was made: interface, address, route, program or map row is missing or different',
	POD_UNKNOWN: 'the API server does not know the pod that is to be attached, or cannot be asked',
	NETNS_INVALID: 'the path of a pod network namespace does not name one, or names that of the node',
	ADDRESS_EXHAUSTED: 'no free address is left in the pod CIDRs of the node',
	ADDRESS_COOLING: 'the only free addresses of the node are still in cool-down',
	HOST_PORT_TAKEN: 'a hostPort is already mapped to another pod of the node',
	CHAIN_UNSUPPORTED: 'the interface of a previous plugin cannot be served in chained mode',
	POLICY_BEHIND: 'the policies of a pod cannot be put in force, so it is not attached',
	LEDGER_WRITE: 'an attachment record cannot be made durable',
	LEDGER_INVALID: 'an attachment record on disk cannot be read',
	CNI_INSTALL: 'the CNI executable or configuration cannot be installed',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;
