/**
 * Exit codes of `fairlead`; scripts may rely on them (docs/cli.md).
 */
export const EXIT = {
	OK: 0,
	/** The agent answered with an error, or something unexpected happened. */
	FAILURE: 1,
	/** Wrong arguments, or a value the agent refused. */
	USAGE: 2,
	/** No agent could be reached. */
	UNREACHABLE: 3,
	/** The object asked for does not exist. */
	NOT_FOUND: 4,
	/** `status`: the agent answers but is not ready. */
	NOT_READY: 5,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** An error for people: the message is printed as it is, the process ends with the code. */
export class CliError extends Error {
	readonly exitCode: ExitCode;

	constructor(exitCode: ExitCode, message: string, options?: ErrorOptions) {
		super(message, options);
		this.name = 'CliError';
		this.exitCode = exitCode;
	}
}
