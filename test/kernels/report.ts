/**
 * How the guest tells the host what it found: lines on the console, between what the kernel prints.
 *
 *   FLK pass TITLE | FLK fail TITLE: WHY | FLK skip TITLE: WHY | FLK note TEXT | FLK end EXIT-STATUS
 */
export const RESULTS = ['pass', 'fail', 'skip'] as const;
export type Result = (typeof RESULTS)[number];

export interface Line {
	readonly kind: Result | 'note' | 'end';
	readonly text: string;
}

/** Writes a result or a note of several lines. */
export function tell(kind: Result | 'note', text: string): void {
	const [first = '', ...rest] = text.split('\n');
	console.log(`FLK ${kind} ${first}`);
	for (const line of rest) console.log(`FLK note   ${line}`);
}

/** Undefined for lines that are none of ours. */
export function parseLine(line: string): Line | undefined {
	const match = /FLK (pass|fail|skip|note|end) (.*)$/.exec(line.trimEnd());
	return match === null ? undefined : { kind: match[1] as Line['kind'], text: match[2] ?? '' };
}
