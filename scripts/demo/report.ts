/**
 * What the demo prints: progress while it works, one line per thing that was proven, and the summary.
 */
import { styleText } from 'node:util';

export interface Claim {
	readonly text: string;
	readonly held: boolean;
	/** The figure that shows it, or why it does not hold. */
	readonly figure: string;
}

const claims: Claim[] = [];
const started = Date.now();
const seconds = (): string => `${((Date.now() - started) / 1000).toFixed(1).padStart(5)} s`;

/** A line that says what is being done now. */
export function progress(text: string): void {
	console.log(`${styleText('gray', seconds())}  ${text}`);
}

export function heading(text: string): void {
	console.log(`\n${styleText('bold', text)}`);
}

/** Output of a command, indented. */
export function quote(text: string): void {
	for (const line of text.trimEnd().split('\n')) console.log(`         ${line}`);
}

/** Runs a proof; `prove` returns the figure that shows that the claim holds, or throws. A failed proof does not end the demo. */
export async function claim(text: string, prove: () => Promise<string>): Promise<void> {
	try {
		const figure = await prove();
		claims.push({ text, held: true, figure });
		console.log(`${styleText('gray', seconds())}  ${styleText('green', '✓')} ${text}: ${figure}`);
	} catch (error) {
		const figure = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
		claims.push({ text, held: false, figure });
		console.log(`${styleText('gray', seconds())}  ${styleText('red', '✗')} ${text}: ${figure}`);
	}
}

/** Prints the summary; returns true when every claim held. */
export function summary(about: string): boolean {
	heading(`Proven on ${about}`);
	const width = Math.max(...claims.map((c) => c.text.length));
	for (const c of claims) {
		const mark = c.held ? styleText('green', '✓') : styleText('red', '✗');
		console.log(`  ${mark} ${c.text.padEnd(width)}  ${c.figure}`);
	}
	const held = claims.filter((c) => c.held).length;
	console.log(`\n${held} of ${claims.length} hold, ${((Date.now() - started) / 1000).toFixed(0)} s in all`);
	return held === claims.length;
}
