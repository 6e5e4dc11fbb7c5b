/**
 * Files of the node that a container without privileges sees read-only, hidden or as its own: the manifests mount them again below
 * /host (manifests/source/volumes.ts). Outside of such a container the usual place is the right one.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Where the node's own file is. @param host  where the container has the node's files */
export function nodePath(path: string, host = '/host'): string {
	const mounted = join(host, path);
	return existsSync(mounted) ? mounted : path;
}
