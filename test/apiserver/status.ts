/**
 * Errors as the API server tells them: a Status object with code and reason.
 */

/** Reasons by code, as k8s.io/apimachinery/pkg/apis/meta/v1 names them; a code with two takes the other explicitly. */
const REASONS: Readonly<Record<number, string>> = {
	400: 'BadRequest',
	401: 'Unauthorized',
	403: 'Forbidden',
	404: 'NotFound',
	405: 'MethodNotAllowed',
	409: 'Conflict',
	410: 'Expired',
	415: 'UnsupportedMediaType',
	422: 'Invalid',
	429: 'TooManyRequests',
	500: 'InternalError',
	503: 'ServiceUnavailable',
	504: 'Timeout',
};

export interface StatusDetails {
	readonly reason?: string;
	/** Sent as Retry-After header too. */
	readonly retryAfterSeconds?: number;
	/** metadata.continue of the Status. */
	readonly continue?: string;
	readonly causes?: readonly { readonly reason: string; readonly message: string }[];
	readonly name?: string;
	readonly kind?: string;
}

export class ApiError extends Error {
	readonly code: number;
	readonly details: StatusDetails;

	constructor(code: number, message: string, details: StatusDetails = {}) {
		super(message);
		this.code = code;
		this.details = details;
	}

	/** The Status object. */
	toStatus(): Record<string, unknown> {
		const { reason, retryAfterSeconds, causes, name, kind } = this.details;
		const details = { name, kind, causes, retryAfterSeconds };
		return {
			kind: 'Status',
			apiVersion: 'v1',
			metadata: this.details.continue === undefined ? {} : { continue: this.details.continue },
			status: 'Failure',
			message: this.message,
			reason: reason ?? REASONS[this.code] ?? 'Unknown',
			...(Object.values(details).some((value) => value !== undefined) && { details }),
			code: this.code,
		};
	}
}

export function notFound(resource: string, name: string): ApiError {
	return new ApiError(404, `${resource} "${name}" not found`, { name, kind: resource });
}

/** What a watch or a continued list gets whose version is no longer kept. */
export function expired(message: string, details: StatusDetails = {}): ApiError {
	return new ApiError(410, message, details);
}
