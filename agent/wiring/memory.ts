/**
 * Gives back what work has left behind: a start parses and allocates several times what the idle agent needs, and neither
 * V8 nor malloc returns it while nothing happens.
 */
import { setFlagsFromString } from 'node:v8';
import { trimMemory } from '../../native/index.ts';

/**
 * After a collection for want of memory V8 marks the heap again whenever it has grown by a tenth, and changes wait while it does. From
 * the first one on it may grow by this much: what changes leave behind is collected here every ten minutes anyway. Not earlier: a heap
 * that is being filled is better left to V8.
 */
const HEAP_GROWTH_PERCENT = 30;

/** Collects garbage and unused memory of malloc. Blocks for tens of milliseconds: only where nobody waits. */
export function tidyMemory(): void {
	setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`);
	// There with --expose-gc, which main.ts sets. Other flavors keep the compiled code of the start and half-empty pages.
	globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
	trimMemory();
}
