/**
 * What a source cannot use, in a form that does not depend on where objects come from.
 */
export interface SourceProblem {
	/** 'web.yaml:12' or the address of an API server. */
	readonly origin: string;
	/** 'Service default/web', 'document', 'list'. */
	readonly object: string;
	/** Field path; '' = the object itself. */
	readonly path: string;
	readonly message: string;
	/** An earlier state is used on. */
	readonly keptLastGood: boolean;
}
