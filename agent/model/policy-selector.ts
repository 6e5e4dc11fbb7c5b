/**
 * Label selectors as policies carry them: one list of requirements, all of which must hold.
 */
import * as z from 'zod';
import { list, optional, stringMap } from './fields.ts';

export type SelectorOperator = 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';

export interface SelectorRequirement {
	readonly key: string;
	readonly operator: SelectorOperator;
	/** Sorted, unique; empty for Exists and DoesNotExist. */
	readonly values: readonly string[];
}

/** All must hold; empty = everything is selected. Sorted, so that equal selectors are equal values. */
export type LabelSelector = readonly SelectorRequirement[];

const expression = z
	.object({
		key: z.string().min(1),
		operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
		values: list(z.string()),
	})
	.superRefine(({ operator, values }, context) => {
		const wants = operator === 'In' || operator === 'NotIn';
		if (wants === values.length > 0) return;
		const message = wants ? `expected values for ${operator}, got none` : `expected no values for ${operator}`;
		context.addIssue({ code: 'custom', path: ['values'], message });
	});

/** metav1.LabelSelector. Fields that are not known are refused: a selector must not select more than was meant. */
export const labelSelector = z
	.strictObject({ matchLabels: stringMap, matchExpressions: list(expression) })
	.transform(({ matchLabels, matchExpressions }): LabelSelector => {
		const labels = Object.entries(matchLabels).map(
			([key, value]): SelectorRequirement => ({ key, operator: 'In', values: [value] }),
		);
		const expressions = matchExpressions.map(
			({ key, operator, values }): SelectorRequirement => ({ key, operator, values: [...new Set(values)].sort() }),
		);
		const unique = new Map([...labels, ...expressions].map((each) => [formatRequirement(each), each]));
		return [...unique.keys()].sort().map((text) => unique.get(text) as SelectorRequirement);
	});

/** A selector that may be absent. */
export const optionalSelector = optional(labelSelector, null);

function formatRequirement({ key, operator, values }: SelectorRequirement): string {
	switch (operator) {
		case 'In':
			return values.length === 1 ? `${key}=${values[0]}` : `${key} in (${values.join(',')})`;
		case 'NotIn':
			return `${key} notin (${values.join(',')})`;
		case 'Exists':
			return key;
		case 'DoesNotExist':
			return `!${key}`;
	}
}

/** As kubectl writes selectors; equal selectors give equal text, different ones different text. '' = everything. */
export function formatSelector(selector: LabelSelector): string {
	return selector.map(formatRequirement).join(',');
}
