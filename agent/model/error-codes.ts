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
	ENDPOINT_CHANGED: 'an attachment is not as it was made: interface, address, route or map row is missing or different',
	NETNS_INVALID: 'the path of a pod network namespace does not name one, or names that of the node',
	ADDRESS_EXHAUSTED: 'no free address is left in the pod CIDRs of the node',
	ADDRESS_COOLING: 'the only free addresses of the node are still in cool-down',
	HOST_PORT_TAKEN: 'a hostPort is already mapped to another pod of the node',
	CHAIN_UNSUPPORTED: 'the interface of a previous plugin cannot be served in chained mode',
	LEDGER_WRITE: 'an attachment record cannot be made durable',
	LEDGER_INVALID: 'an attachment record on disk cannot be read',
	CNI_INSTALL: 'the CNI executable or configuration cannot be installed',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;
