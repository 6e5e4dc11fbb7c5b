/**
 * Gives back what work has left behind: a start parses and allocates several times what the idle agent needs, and neither
 * V8 nor malloc returns it while nothing happens.
 */
import { trimMemory } from '../../native/index.ts';

/** Collects garbage and unused memory of malloc. Blocks for tens of milliseconds: only where nobody waits. */
export function tidyMemory(): void {
	// There with --expose-gc, which main.ts sets. Other flavors keep the compiled code of the start and half-empty pages.
	globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
	trimMemory();
}
