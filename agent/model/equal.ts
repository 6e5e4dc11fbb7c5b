/**
 * Structural equality of model values: plain objects, arrays, strings, numbers, booleans and null.
 * Keys whose value is undefined count as absent. No cycles, no class instances.
 */
export function sameValue(a: unknown, b: unknown): boolean {
	if (Object.is(a, b)) return true;
	if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
	if (Array.isArray(a) || Array.isArray(b)) {
		if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
		for (let i = 0; i < a.length; i++) if (!sameValue(a[i], b[i])) return false;
		return true;
	}
	return sameFields(a as Record<string, unknown>, b as Record<string, unknown>);
}

/** Without lists of keys: every object that arrives is compared. */
function sameFields(a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>): boolean {
	let more = 0;
	for (const key in a) {
		if (a[key] === undefined) continue;
		if (!sameValue(a[key], b[key])) return false;
		more++;
	}
	for (const key in b) if (b[key] !== undefined) more--;
	return more === 0;
}
