/** Debian packages that the emulated machines need on the host. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Installs those of a list (one name per line) that are missing. @throws Error when apt cannot */
export function installPackages(listFile: string): void {
	const missing = readFileSync(listFile, 'utf8')
		.split('\n')
		.filter(Boolean)
		.filter((name) => !isInstalled(name));
	if (missing.length === 0) return;
	console.error(`==> installing Debian packages: ${missing.join(' ')}`);
	const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
	const options = ['-qq', '-o', 'DPkg::Lock::Timeout=180'];
	const run = (...args: string[]) => execFileSync('apt-get', [...options, ...args], { env, stdio: 'pipe' });
	run('update');
	run('install', '--no-install-recommends', '-y', ...missing);
}

function isInstalled(name: string): boolean {
	try {
		const options = ['-W', '-f', '$' + '{db:Status-Status}', name];
		return (
			execFileSync('dpkg-query', options, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }) === 'installed'
		);
	} catch {
		return false; // dpkg has never heard of it
	}
}
