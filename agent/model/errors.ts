/**
 * The one error class of the agent, the CLI and the CNI server. Expected outcomes are values, not errors.
 */
import type { ErrorCode } from './error-codes.ts';

export interface ErrorDetails {
	readonly cause?: unknown;
	readonly [field: string]: unknown;
}

/**
 * An error that a person or a script acts upon.
 * The message says: what could not be done, to which object: why (errno) [, what to do].
 * `fields` are for the log; they repeat nothing that only the message has.
 */
export class FairleadError extends Error {
	readonly code: ErrorCode;
	readonly fields: Readonly<Record<string, unknown>>;

	constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
		const { cause, ...fields } = details;
		super(message, cause === undefined ? undefined : { cause });
		this.name = 'FairleadError';
		this.code = code;
		this.fields = fields;
	}
}

/** Text of anything that was thrown; never throws itself. */
export function errorMessage(thrown: unknown): string {
	if (thrown instanceof Error) return thrown.message;
	if (typeof thrown === 'string') return thrown;
	try {
		return JSON.stringify(thrown) ?? String(thrown);
	} catch {
		return Object.prototype.toString.call(thrown);
	}
}

/** The string `code` of an error (Fairlead, Node.js or native), or undefined. */
export function errorCode(thrown: unknown): string | undefined {
	if (typeof thrown !== 'object' || thrown === null || !('code' in thrown)) return undefined;
	return typeof thrown.code === 'string' ? thrown.code : undefined;
}
