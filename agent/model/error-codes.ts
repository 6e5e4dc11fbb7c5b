/**
 * Every stable error code of Fairlead, in one table. Scripts and dashboards match on these strings, so a code is
 * never renamed or reused; docs/errors.md explains each one and a test keeps the two lists equal.
 */
export const ERROR_CODES = {
	ADDRESS_INVALID: 'text is not an IP address or CIDR',
	CONFIG_INVALID: 'a configuration source has an unknown key or a value of the wrong form',
	CONFIG_UNREADABLE: 'the configuration file cannot be read or is not YAML',
	CONFIG_CONFLICT: 'two configuration values contradict each other or the node',
	SOURCE_UNREADABLE: 'a file or directory of the files source cannot be read',
	SOURCE_INVALID: 'a document of the files source is not a valid object',
	MAP_FULL: 'a BPF map has no room for another entry',
	MAP_WRITE: 'an entry of a BPF map cannot be written or deleted',
	MAP_LAYOUT: 'a pinned BPF map has another layout than this version of Fairlead expects',
	MAP_CORRUPT: 'the content of a BPF map contradicts itself',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;
