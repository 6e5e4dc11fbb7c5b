/**
 * Asks a test API server: plain requests and watches, over the unix socket of its process or its address.
 */
import http from 'node:http';
import https from 'node:https';

export interface Where {
	readonly socketPath?: string;
	readonly host?: string;
	readonly port?: number;
	readonly ca?: string;
	readonly token?: string;
}

export interface Answer {
	readonly code: number;
	readonly headers: http.IncomingHttpHeaders;
	// biome-ignore lint/suspicious/noExplicitAny: objects of many kinds
	readonly body: any;
}

function open(where: Where, method: string, path: string, headers: Record<string, string>): http.ClientRequest {
	const { socketPath, host, port, ca, token } = where;
	const all = { ...headers, ...(token !== undefined && { authorization: `Bearer ${token}` }) };
	if (socketPath !== undefined) return http.request({ socketPath, method, path, headers: all });
	if (ca !== undefined) return https.request({ host, port, method, path, headers: all, ca, agent: false });
	return http.request({ host, port, method, path, headers: all, agent: false });
}

/** One request to its end; the body is parsed when it is JSON. */
export async function ask(
	where: Where,
	method: string,
	path: string,
	body?: unknown,
	contentType = 'application/json',
): Promise<Answer> {
	const { promise, resolve, reject } = Promise.withResolvers<Answer>();
	const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
	const length = String(Buffer.byteLength(text));
	const headers = { 'content-type': contentType, 'content-length': length };
	const request = open(where, method, path, body === undefined ? {} : headers);
	request.on('error', reject);
	request.on('response', (response) => {
		const chunks: Buffer[] = [];
		response.on('data', (chunk: Buffer) => chunks.push(chunk));
		response.on('error', reject);
		response.on('close', () => {
			if (!response.complete) reject(new Error('the connection was closed within the answer'));
		});
		response.on('end', () => {
			const received = Buffer.concat(chunks).toString();
			let parsed: unknown = received;
			try {
				parsed = JSON.parse(received);
			} catch {
				// not JSON
			}
			resolve({ code: response.statusCode ?? 0, headers: response.headers, body: parsed });
		});
	});
	request.end(text);
	return promise;
}

export interface WatchedEvent {
	readonly type: string;
	// biome-ignore lint/suspicious/noExplicitAny: objects of many kinds
	readonly object: any;
}

/** A watch whose events are kept. */
export class OpenWatch {
	readonly events: WatchedEvent[] = [];
	/** What came after the last complete line. */
	rest = '';
	code = 0;
	readonly ended: Promise<'end' | 'cut'>;
	readonly #request: http.ClientRequest;
	#changed: () => void = () => undefined;

	constructor(where: Where, path: string) {
		const { promise, resolve } = Promise.withResolvers<'end' | 'cut'>();
		this.ended = promise;
		this.#request = open(where, 'GET', path, {});
		this.#request.on('error', () => resolve('cut'));
		this.#request.on('response', (response) => {
			this.code = response.statusCode ?? 0;
			response.on('data', (chunk: Buffer) => this.#take(chunk.toString()));
			response.on('error', () => undefined);
			response.on('close', () => resolve(response.complete ? 'end' : 'cut'));
			this.#changed();
		});
		this.#request.end();
	}

	/** Waits until there are n events that are no bookmarks (or that many bookmarks). */
	async until(n: number, type: 'objects' | 'BOOKMARK' = 'objects'): Promise<WatchedEvent[]> {
		const wanted = () => this.events.filter((event) => (event.type === 'BOOKMARK') === (type === 'BOOKMARK'));
		const deadline = Date.now() + 10_000;
		while (wanted().length < n) {
			if (Date.now() > deadline) throw new Error(`${wanted().length} of ${n} events: ${JSON.stringify(this.events)}`);
			await new Promise<void>((resolve) => {
				const timer = setTimeout(resolve, 100);
				this.#changed = () => {
					clearTimeout(timer);
					resolve();
				};
			});
		}
		return wanted();
	}

	async opened(): Promise<void> {
		while (this.code === 0) {
			await new Promise<void>((resolve) => {
				this.#changed = resolve;
			});
		}
	}

	close(): void {
		this.#request.destroy();
	}

	#take(text: string): void {
		const lines = (this.rest + text).split('\n');
		this.rest = lines.pop() ?? '';
		for (const line of lines) this.events.push(JSON.parse(line) as WatchedEvent);
		this.#changed();
	}
}
