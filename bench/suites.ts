/** Every suite, in the order in which they run. */
import type { Suite } from './figures.ts';
import { tcSuite } from './tc.ts';

export const suites: readonly Suite[] = [tcSuite];
