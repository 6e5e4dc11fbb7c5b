/**
 * Errors in the numbers of the CNI specification, and which of them each error of the agent becomes.
 */
import type { ErrorCode } from '../agent/model/error-codes.ts';
import { errorCode, errorMessage, FairleadError } from '../agent/model/errors.ts';

/** Numbers below 100 are the specification's, the others are ours. */
export const CniCode = {
	INCOMPATIBLE_VERSION: 1,
	UNSUPPORTED_FIELD: 2,
	UNKNOWN_CONTAINER: 3,
	INVALID_ENVIRONMENT: 4,
	IO: 5,
	DECODE: 6,
	INVALID_CONFIG: 7,
	INVALID_NETNS: 8,
	TRY_AGAIN: 11,
	NOT_AVAILABLE: 50,
	LIMITED_CONNECTIVITY: 51,
	ALREADY_ATTACHED: 100,
	ADDRESSES_EXHAUSTED: 101,
	HOST_PORT_TAKEN: 102,
	ATTACHMENT_CHANGED: 103,
	GC_INCOMPLETE: 104,
	INTERNAL: 999,
} as const;
export type CniCode = (typeof CniCode)[keyof typeof CniCode];

/** An outcome that is printed as the specification's error object. */
export class CniError extends Error {
	readonly code: CniCode;
	readonly details: string | undefined;

	constructor(code: CniCode, message: string, details?: string) {
		super(message);
		this.name = 'CniError';
		this.code = code;
		this.details = details;
	}
}

const CODES: Partial<Record<ErrorCode, CniCode>> = {
	ADDRESS_COOLING: CniCode.TRY_AGAIN,
	ADDRESS_EXHAUSTED: CniCode.ADDRESSES_EXHAUSTED,
	CHAIN_UNSUPPORTED: CniCode.INVALID_CONFIG,
	ENDPOINT_CHANGED: CniCode.ATTACHMENT_CHANGED,
	ENDPOINT_EXISTS: CniCode.ALREADY_ATTACHED,
	ENDPOINT_LIMIT: CniCode.TRY_AGAIN,
	ENDPOINT_TIMEOUT: CniCode.TRY_AGAIN,
	ENDPOINT_UNKNOWN: CniCode.UNKNOWN_CONTAINER,
	HOST_PORT_TAKEN: CniCode.HOST_PORT_TAKEN,
	LEDGER_WRITE: CniCode.IO,
	NETNS_INVALID: CniCode.INVALID_NETNS,
	POD_UNKNOWN: CniCode.TRY_AGAIN,
	POLICY_BEHIND: CniCode.TRY_AGAIN,
};

/** What the runtime is told about anything that was thrown. */
export function toCniError(thrown: unknown): CniError {
	if (thrown instanceof CniError) return thrown;
	const code = thrown instanceof FairleadError ? CODES[thrown.code] : undefined;
	return new CniError(code ?? CniCode.INTERNAL, errorMessage(thrown), errorCode(thrown));
}
