/**
 * Structural equality of model values: plain objects, arrays, strings, numbers, booleans and null.
 * Keys whose value is undefined count as absent. No cycles, no class instances.
 */

/**
 * Whether a value is what was there before. On the way, parts that are equal are replaced by the old ones: most of a new version of
 * an object is as before, and what stays in memory for long is better not made anew with every change.
 * @param value  new; belongs to the caller
 */
export function reuseParts(old: unknown, value: unknown): boolean {
	if (Object.is(old, value)) return true;
	if (typeof old !== 'object' || typeof value !== 'object' || old === null || value === null) return false;
	if (Array.isArray(old) && Array.isArray(value)) return reuseItems(old, value);
	if (Array.isArray(old) || Array.isArray(value)) return false;
	return reuseFields(old as Record<string, unknown>, value as Record<string, unknown>);
}

function reuseItems(old: readonly unknown[], value: unknown[]): boolean {
	let same = old.length === value.length;
	for (let i = 0; i < value.length; i++) {
		if (reuseParts(old[i], value[i])) value[i] = old[i];
		else same = false;
	}
	return same;
}

function reuseFields(old: Readonly<Record<string, unknown>>, value: Record<string, unknown>): boolean {
	let same = true;
	let more = 0;
	// without lists of keys: every object that arrives is compared
	for (const key in value) {
		if (value[key] === undefined) continue;
		more++;
		if (Object.hasOwn(old, key) && reuseParts(old[key], value[key])) value[key] = old[key];
		else same = false;
	}
	for (const key in old) if (old[key] !== undefined) more--;
	return same && more === 0;
}
