/**
 * How steps of an attachment that ran side by side have ended, and whether it is still wanted.
 */
import { errorMessage, FairleadError } from '../model/errors.ts';
import { ownerOf } from './attachment.ts';
import type { AttachRequest } from './endpoint-deps.ts';

/** @throws what the step has thrown */
export function settledValue<T>(result: PromiseSettledResult<T>): T {
	if (result.status === 'rejected') throw result.reason;
	return result.value;
}

/** @throws ENDPOINT_TIMEOUT */
export function throwIfAborted(signal: AbortSignal, request: AttachRequest): void {
	if (!signal.aborted) return;
	const text = `cannot attach ${ownerOf(request)}: given up, ${errorMessage(signal.reason)}`;
	throw new FairleadError('ENDPOINT_TIMEOUT', text, { cause: signal.reason });
}
