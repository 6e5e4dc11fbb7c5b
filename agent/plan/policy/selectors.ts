/** Label selectors on labels, and the look-up of selectors by label that keeps one changed pod from asking all of them. */
import type { LabelSelector, SelectorRequirement } from '../../model/policy-selector.ts';

export type Labels = Readonly<Record<string, string>>;

/** Absent keys satisfy NotIn, as Kubernetes has it. */
export function selects(selector: LabelSelector, labels: Labels): boolean {
	for (const requirement of selector) if (!holds(requirement, labels)) return false;
	return true;
}

function holds({ key, operator, values }: SelectorRequirement, labels: Labels): boolean {
	const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
	switch (operator) {
		case 'In':
			return value !== undefined && values.includes(value);
		case 'NotIn':
			return value === undefined || !values.includes(value);
		case 'Exists':
			return value !== undefined;
		case 'DoesNotExist':
			return value === undefined;
	}
}

/** Key of a label in an index. */
export function labelPair(key: string, value: string): string {
	return `${key}=${value}`;
}

/** The requirement that narrows most: a label with a value, else a label with any; undefined = nothing positive. */
export function anchorOf(selector: LabelSelector): SelectorRequirement | undefined {
	return (
		selector.find(({ operator, values }) => operator === 'In' && values.length === 1) ??
		selector.find(({ operator }) => operator === 'In') ??
		selector.find(({ operator }) => operator === 'Exists')
	);
}

/** Sets of things by text; empty sets vanish. */
export class MultiMap<T> {
	readonly #sets = new Map<string, Set<T>>();

	add(key: string, value: T): void {
		const found = this.#sets.get(key);
		if (found === undefined) this.#sets.set(key, new Set([value]));
		else found.add(value);
	}

	delete(key: string, value: T): void {
		const found = this.#sets.get(key);
		if (found?.delete(value) && found.size === 0) this.#sets.delete(key);
	}

	get(key: string): ReadonlySet<T> {
		return this.#sets.get(key) ?? new Set();
	}

	keys(): Iterable<string> {
		return this.#sets.keys();
	}
}

/** Things with a selector, found by the labels they may select. */
export class SelectorIndex<T> {
	readonly #byPair = new MultiMap<T>();
	readonly #byKey = new MultiMap<T>();
	readonly #others = new Set<T>();

	add(selector: LabelSelector, value: T): void {
		this.#place(
			selector,
			(map, key) => map.add(key, value),
			(set) => set.add(value),
		);
	}

	delete(selector: LabelSelector, value: T): void {
		this.#place(
			selector,
			(map, key) => map.delete(key, value),
			(set) => set.delete(value),
		);
	}

	#place(selector: LabelSelector, onMap: (map: MultiMap<T>, key: string) => void, onRest: (set: Set<T>) => void): void {
		const anchor = anchorOf(selector);
		if (anchor === undefined) onRest(this.#others);
		else if (anchor.operator === 'Exists') onMap(this.#byKey, anchor.key);
		else for (const value of anchor.values) onMap(this.#byPair, labelPair(anchor.key, value));
	}

	/** Calls back with everything that may select the labels, each once or more; the caller asks the selector itself. */
	candidates(labels: Labels, visit: (value: T) => void): void {
		for (const each of this.#others) visit(each);
		for (const key of Object.keys(labels)) {
			for (const each of this.#byKey.get(key)) visit(each);
			for (const each of this.#byPair.get(labelPair(key, labels[key] ?? ''))) visit(each);
		}
	}
}
