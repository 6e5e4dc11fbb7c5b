/**
 * Structural equality of model values: plain objects, arrays, strings, numbers, booleans and null.
 * Keys whose value is undefined count as absent. No cycles, no class instances.
 */
export function sameValue(a: unknown, b: unknown): boolean {
	if (Object.is(a, b)) return true;
	if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
	if (Array.isArray(a) || Array.isArray(b)) {
		if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
		return a.every((value, i) => sameValue(value, b[i]));
	}
	const left = Object.entries(a).filter(([, value]) => value !== undefined);
	const right = new Map(Object.entries(b).filter(([, value]) => value !== undefined));
	return left.length === right.size && left.every(([key, value]) => right.has(key) && sameValue(value, right.get(key)));
}
