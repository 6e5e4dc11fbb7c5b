/**
 * Label selectors as `kubectl -l` takes them: `app=web,tier in (a,b),!canary`.
 */

export type LabelTest = (labels: Readonly<Record<string, string>>) => boolean;

const KEY = '([A-Za-z0-9][A-Za-z0-9._/-]*)';
const VALUE = '([A-Za-z0-9._-]*)';
const EQUALS = new RegExp(`^${KEY}\\s*(==?|!=)\\s*${VALUE}$`);
const SET = new RegExp(`^${KEY}\\s+(in|notin)\\s*\\(([^()]*)\\)$`);
const EXISTS = new RegExp(`^(!?)\\s*${KEY}$`);

/**
 * Compiles a selector; commas outside of parentheses mean "and". As in Kubernetes, != and notin also match objects
 * without the label. An optional `k8s:` before a key is ignored, as Hubble writes it.
 * @returns undefined when the text is no selector
 */
export function parseLabelSelector(text: string): LabelTest | undefined {
	const parts = text.split(/,(?![^(]*\))/).map((part) => part.trim().replace(/^(!?)\s*(k8s|any):/, '$1'));
	const tests: LabelTest[] = [];
	for (const part of parts) {
		const test = parseRequirement(part);
		if (test === undefined) return undefined;
		tests.push(test);
	}
	return (labels) => tests.every((test) => test(labels));
}

function parseRequirement(text: string): LabelTest | undefined {
	const equals = EQUALS.exec(text);
	if (equals !== null) {
		const [, key = '', operator, value = ''] = equals;
		return operator === '!=' ? (labels) => labels[key] !== value : (labels) => labels[key] === value;
	}
	const set = SET.exec(text);
	if (set !== null) {
		const [, key = '', operator, list = ''] = set;
		const values = new Set(list.split(',').map((value) => value.trim()));
		if (operator === 'notin') return (labels) => !(key in labels) || !values.has(labels[key] ?? '');
		return (labels) => key in labels && values.has(labels[key] ?? '');
	}
	const exists = EXISTS.exec(text);
	if (exists === null) return undefined;
	const [, not, key = ''] = exists;
	return not === '!' ? (labels) => !(key in labels) : (labels) => key in labels;
}
