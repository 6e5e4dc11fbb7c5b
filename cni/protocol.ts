/**
 * Framing between the CNI executable (cni/front/fairlead-cni.c) and the agent. Request: u32 length (big endian, of
 * the rest), environment as KEY=VALUE\0 … \0, standard input. Reply: u32 length, u8 exit status, standard output.
 */
import { CniCode, CniError } from './cni-error.ts';

/** What the executable was started with. */
export interface FrontRequest {
	readonly env: ReadonlyMap<string, string>;
	readonly stdin: string;
}

/** Larger requests are refused: 4 MiB of stdin, 2 MiB of environment. */
export const MAX_REQUEST_BYTES = 6 << 20;
const LENGTH_BYTES = 4;

/** Splits a request without its length. @throws CniError DECODE */
export function decodeRequest(body: Buffer): FrontRequest {
	const env = new Map<string, string>();
	let at = 0;
	for (;;) {
		const end = body.indexOf(0, at);
		if (end < 0) throw new CniError(CniCode.DECODE, 'cannot read the request: environment without end');
		if (end === at) return { env, stdin: body.toString('utf8', end + 1) };
		const entry = body.toString('utf8', at, end);
		const equals = entry.indexOf('=');
		if (equals <= 0) throw new CniError(CniCode.DECODE, 'cannot read the request: environment entry without name');
		env.set(entry.slice(0, equals), entry.slice(equals + 1));
		at = end + 1;
	}
}

/** The inverse of decodeRequest(), with the length in front. */
export function encodeRequest(request: FrontRequest): Buffer {
	const env = [...request.env].map(([key, value]) => `${key}=${value}\0`).join('');
	return frame(Buffer.from(`${env}\0${request.stdin}`));
}

export function encodeReply(exitStatus: number, stdout: string): Buffer {
	return frame(Buffer.concat([Buffer.of(exitStatus), Buffer.from(stdout)]));
}

function frame(body: Buffer): Buffer {
	const length = Buffer.alloc(LENGTH_BYTES);
	length.writeUInt32BE(body.length);
	return Buffer.concat([length, body]);
}

/** Collects the bytes of one request. */
export class RequestReader {
	#chunks: Buffer[] = [];
	#received = 0;

	/**
	 * @returns the request without its length, once it is whole
	 * @throws CniError DECODE when it is too large or followed by more
	 */
	push(chunk: Buffer): Buffer | undefined {
		this.#chunks.push(chunk);
		this.#received += chunk.length;
		if (this.#received < LENGTH_BYTES) return undefined;
		const all = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
		const length = all.readUInt32BE(0);
		if (length > MAX_REQUEST_BYTES) {
			throw new CniError(CniCode.DECODE, `cannot read the request: ${length} bytes, limit ${MAX_REQUEST_BYTES}`);
		}
		if (this.#received < LENGTH_BYTES + length) {
			if (this.#chunks.length > 64) this.#chunks = [all];
			return undefined;
		}
		if (this.#received > LENGTH_BYTES + length) {
			throw new CniError(CniCode.DECODE, 'cannot read the request: bytes after its end');
		}
		return all.subarray(LENGTH_BYTES);
	}
}
