/**
 * Which boot of the machine the state directory was last used in. What is on disk outlives a reboot, what it tells of does not:
 * interfaces, programs and maps are gone, and the CNI configuration speaks of an agent that is not there yet.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** `first`: nothing is known of an earlier boot. */
export type Boot = 'same' | 'rebooted' | 'first';

const FILE = 'boot-id';

/**
 * Compares with what was noted last, and notes the boot of now.
 * @param bootId  /proc/sys/kernel/random/boot_id
 * @throws what the file system says
 */
export function noteBoot(stateDir: string, bootId: string): Boot {
	const path = join(stateDir, FILE);
	const noted = readNoted(path);
	if (noted === bootId) return 'same';
	mkdirSync(stateDir, { recursive: true, mode: 0o700 });
	writeFileSync(`${path}.new`, `${bootId}\n`, { mode: 0o600 });
	renameSync(`${path}.new`, path);
	return noted === '' ? 'first' : 'rebooted';
}

function readNoted(path: string): string {
	try {
		return readFileSync(path, 'utf8').trim();
	} catch {
		return '';
	}
}
