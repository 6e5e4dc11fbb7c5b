/**
 * How the API server is reached and who we are to it. The work is done by the official client library in cluster-access.ts,
 * which is loaded only when desired state comes from an API server: it takes tens of megabytes.
 */
import { FairleadError } from '../../model/errors.ts';

/** What one request needs. */
export interface Credentials {
	readonly headers: Readonly<Record<string, string>>;
	readonly tls: {
		readonly ca?: string;
		readonly cert?: string;
		readonly key?: string;
		readonly servername?: string;
		readonly rejectUnauthorized?: boolean;
	};
	/** Through a proxy of the kubeconfig: an http.Agent of the library's. */
	readonly agent?: object;
}

export interface ClusterAccess {
	/** URL of the API server that the configuration names; '' = none. */
	readonly server: string;
	/** Reads what may have changed on disk. @throws when it cannot be read */
	credentials(): Promise<Credentials>;
}

export interface AccessOptions {
	/** Path of a kubeconfig; '' = service account of the pod. */
	readonly kubeconfig: string;
	/** Before the well-known paths of the service account, for tests. */
	readonly root?: string;
}

/** What cluster-access.ts exports. */
export interface AccessModule {
	/** @throws FairleadError API_CONFIG */
	loadAccess(options: AccessOptions): ClusterAccess;
}

export type AccessLoader = (options: AccessOptions) => Promise<ClusterAccess>;

/** Loads the library at the first call. From source and from the bundle, where it is a file of its own. */
export const loadClusterAccess: AccessLoader = async (options) => {
	const file = import.meta.filename.endsWith('.ts') ? './cluster-access.ts' : './cluster-access.js';
	const module = (await import(file)) as AccessModule;
	try {
		return module.loadAccess(options);
	} catch (thrown) {
		if (thrown instanceof Error && 'code' in thrown && thrown.code === 'API_CONFIG') {
			throw new FairleadError('API_CONFIG', thrown.message, { cause: thrown });
		}
		throw thrown;
	}
};
