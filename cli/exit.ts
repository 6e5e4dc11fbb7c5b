/**
 * Exit codes of `fairlead`; scripts may rely on them (docs/cli.md).
 */
import type { ErrorCode } from '../agent/model/error-codes.ts';
import { type ErrorDetails, FairleadError } from '../agent/model/errors.ts';

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

const CODES = {
	[EXIT.OK]: 'AGENT_ERROR',
	[EXIT.FAILURE]: 'AGENT_ERROR',
	[EXIT.USAGE]: 'REQUEST_INVALID',
	[EXIT.UNREACHABLE]: 'AGENT_UNREACHABLE',
	[EXIT.NOT_FOUND]: 'AGENT_ERROR',
	[EXIT.NOT_READY]: 'AGENT_ERROR',
} as const satisfies Record<ExitCode, ErrorCode>;

/** An error for people: the message is printed as it is, the process ends with the exit code. */
export class CliError extends FairleadError {
	readonly exitCode: ExitCode;

	constructor(exitCode: ExitCode, message: string, details: ErrorDetails = {}) {
		super(CODES[exitCode], message, details);
		this.exitCode = exitCode;
	}
}
