/**
 * A system call said no, or the addon refused.
 * `code` is the errno's name ('ENOENT'), or one of ours with errno 0: MAP_LAYOUT (reuseMap: another layout),
 * WRONG_KIND (a pin is another kind of object), WRONG_STAGE (an object is loaded already, or not yet).
 */
export class NativeError extends Error {
	override readonly name = 'NativeError';
	readonly code: string;
	readonly errno: number;
	readonly syscall: string;
	/** All that libbpf and the verifier said; set by BpfObject.open and load. */
	declare readonly log?: string;
	/** How many elements of a batch were done before it stopped. */
	declare readonly done?: number;

	constructor(message: string, code: string, errno: number, syscall: string) {
		super(message);
		this.code = code;
		this.errno = errno;
		this.syscall = syscall;
	}
}
