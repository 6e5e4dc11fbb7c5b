/** What the verifier had to look at, as kernels tell of programs that are open: `verified_insns` of their fdinfo. */
import { readdirSync, readFileSync } from 'node:fs';

/** Kernel that is the first to tell. */
export const TELLS_SINCE = [5, 16] as const;

/** By id, of all programs that this process has open. */
export function verifiedInstructions(): Map<number, number> {
	const counts = new Map<number, number>();
	for (const fd of readdirSync('/proc/self/fdinfo')) {
		let text = '';
		try {
			text = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
		} catch {
			continue; // closed meanwhile
		}
		const id = /^prog_id:\s*(\d+)/m.exec(text)?.[1];
		const count = /^verified_insns:\s*(\d+)/m.exec(text)?.[1];
		if (id !== undefined && count !== undefined) counts.set(Number(id), Number(count));
	}
	return counts;
}
