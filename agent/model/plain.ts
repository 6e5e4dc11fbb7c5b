/**
 * Reading objects without a schema, for kinds that come by the ten thousands: a reader made of these functions gives what the
 * schema gives for an object without fault, and OddObject for anything else; the schema then says what is wrong with it.
 */

/** The object is not as most are. Says no more: it is never shown. */
export class OddObject extends Error {}

export type Fields = Readonly<Record<string, unknown>>;

/** @returns undefined = ask the schema */
export function readPlain<T>(read: (raw: unknown) => T, raw: unknown): T | undefined {
	try {
		return read(raw);
	} catch (thrown) {
		if (thrown instanceof OddObject) return undefined;
		throw thrown;
	}
}

export function fields(value: unknown): Fields {
	if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
	throw new OddObject();
}

const NO_FIELDS: Fields = {};
const NOTHING: readonly unknown[] = [];

export function optionalFields(value: unknown): Fields {
	return value === undefined || value === null ? NO_FIELDS : fields(value);
}

/** Absent and null mean empty. */
export function items(value: unknown): readonly unknown[] {
	if (value === undefined || value === null) return NOTHING;
	if (Array.isArray(value)) return value;
	throw new OddObject();
}

export function text(value: unknown): string {
	if (typeof value === 'string') return value;
	throw new OddObject();
}

export function optionalText(value: unknown, fallback = ''): string {
	return value === undefined || value === null ? fallback : text(value);
}

export function optionalFlag(value: unknown, fallback: boolean): boolean {
	if (value === undefined || value === null) return fallback;
	if (typeof value === 'boolean') return value;
	throw new OddObject();
}

export function integer(value: unknown, min: number, max: number): number {
	if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
	throw new OddObject();
}

/** Absent and null mean `fallback`. */
export function optionalInteger(value: unknown, min: number, max: number, fallback: number): number {
	return value === undefined || value === null ? fallback : integer(value, min, max);
}

export function oneOf<T extends string>(value: unknown, known: readonly T[], fallback: T): T {
	if (value === undefined || value === null) return fallback;
	const found = known.find((each) => each === value);
	if (found !== undefined) return found;
	throw new OddObject();
}

/** Labels and annotations: the object itself, not a copy. */
export function strings(value: unknown): Readonly<Record<string, string>> {
	const map = optionalFields(value);
	for (const key in map) if (typeof map[key] !== 'string' || key === '__proto__') throw new OddObject();
	return map as Readonly<Record<string, string>>;
}

export interface PlainMeta {
	readonly namespace: string;
	readonly name: string;
	readonly uid: string;
	/** metadata.creationTimestamp; '' = absent. */
	readonly created: string;
	readonly labels: Readonly<Record<string, string>>;
	readonly annotations: Readonly<Record<string, string>>;
}

/** metadata of a namespaced object, as `namespacedMeta` of fields.ts reads it. */
export function plainMeta(value: unknown): PlainMeta {
	const { namespace, name, uid, creationTimestamp, labels, annotations } = fields(value);
	return {
		namespace: objectName(optionalText(namespace, 'default')),
		name: objectName(text(name)),
		uid: optionalText(uid),
		created: optionalText(creationTimestamp),
		labels: strings(labels),
		annotations: strings(annotations),
	};
}

function objectName(name: string): string {
	if (name.length >= 1 && name.length <= 253) return name;
	throw new OddObject();
}

/** More different texts than this are not of the kind that repeats: the pool begins anew. */
const POOL_LIMIT = 20_000;

/** One value for many equal ones, so that memory holds it once; what is no longer used anywhere is held at most until the pool is full. */
export class Pool<T> {
	readonly #values = new Map<string, T>();

	/** @param key  equal for equal values */
	share(key: string, value: T): T {
		const known = this.#values.get(key);
		if (known !== undefined) return known;
		if (this.#values.size >= POOL_LIMIT) this.#values.clear();
		this.#values.set(key, value);
		return value;
	}
}

const texts = new Pool<string>();

/** The same text, in memory once: names of nodes and namespaces. */
export function shared(value: string): string {
	return texts.share(value, value);
}
