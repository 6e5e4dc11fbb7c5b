/**
 * kubeconfig and service account through the official client library. A bundle of its own (scripts/bundle.ts): no agent whose
 * desired state comes from files pays for it.
 */
import { readFileSync } from 'node:fs';
import type https from 'node:https';
import { dirname, isAbsolute, join } from 'node:path';
// the package's own index loads clients for every kind and command as well
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { parse } from 'yaml';
import { errorCode, errorMessage, FairleadError } from '../../model/errors.ts';
import type { AccessOptions, ClusterAccess, Credentials } from './access.ts';

/** @throws FairleadError API_CONFIG when there is nothing that can be used */
export function loadAccess({ kubeconfig, root = '' }: AccessOptions): ClusterAccess {
	const config = new KubeConfig();
	if (kubeconfig === '') loadServiceAccount(config, root);
	else loadFile(config, kubeconfig);
	const cluster = config.getCurrentCluster();
	if (cluster === null) {
		throw new FairleadError('API_CONFIG', `cannot use kubeconfig ${kubeconfig}: its current context names no cluster`);
	}
	const server = cluster.server.replace(/\/+$/, '');
	// the library refuses plain HTTP only when a request is made
	if (server !== '' && !server.startsWith('https://')) {
		throw new FairleadError('API_CONFIG', `cannot use API server ${server}: expected a URL that begins with https://`);
	}
	return { server, credentials: () => credentialsOf(config) };
}

function loadServiceAccount(config: KubeConfig, root: string): void {
	config.loadFromCluster(root);
	const [cluster] = config.clusters;
	const inPod = process.env.KUBERNETES_SERVICE_HOST !== undefined;
	if (cluster !== undefined && !inPod) config.clusters = [{ ...cluster, server: '' }];
	const token = config.users[0]?.authProvider?.config?.tokenFile as string;
	try {
		readFileSync(token);
	} catch (thrown) {
		throw new FairleadError(
			'API_CONFIG',
			`cannot use the service account: ${token}: ${errorCode(thrown)}; set kubeconfig or run in a pod with a service account`,
			{ cause: thrown },
		);
	}
}

function loadFile(config: KubeConfig, path: string): void {
	try {
		config.loadFromFile(path);
		takeTokenFiles(config, path);
	} catch (thrown) {
		const why = errorCode(thrown) ?? errorMessage(thrown);
		throw new FairleadError('API_CONFIG', `cannot use kubeconfig ${path}: ${why}`, { cause: thrown });
	}
}

/** `tokenFile` of a user, which the library does not know: read again as the token of a service account is. */
function takeTokenFiles(config: KubeConfig, path: string): void {
	const { users = [] } = parse(readFileSync(path, 'utf8')) as {
		users?: { name: string; user?: { tokenFile?: string } }[];
	};
	config.users = config.users.map((user) => {
		const file = users.find(({ name }) => name === user.name)?.user?.tokenFile;
		if (file === undefined || user.token) return user;
		const tokenFile = isAbsolute(file) ? file : join(dirname(path), file);
		return { ...user, authProvider: { name: 'tokenFile', config: { tokenFile } } };
	});
}

async function credentialsOf(config: KubeConfig): Promise<Credentials> {
	const options: https.RequestOptions = {};
	const cluster = config.getCurrentCluster();
	const proxied = Boolean(cluster?.proxyUrl);
	await config.applyToHTTPSOptions(options);
	const { ca, cert, key, servername, rejectUnauthorized, auth, agent } = options;
	const headers: Record<string, string> = {};
	for (const [name, value] of Object.entries(options.headers ?? {})) headers[name] = String(value).trim();
	if (auth) headers.Authorization = `Basic ${Buffer.from(auth).toString('base64')}`;
	const text = (value: unknown): string => String(value);
	return {
		headers,
		tls: {
			...(ca !== undefined && { ca: text(ca) }),
			...(cert !== undefined && { cert: text(cert) }),
			...(key !== undefined && { key: text(key) }),
			...(servername !== undefined && { servername }),
			...(rejectUnauthorized !== undefined && { rejectUnauthorized }),
		},
		...(proxied && typeof agent === 'object' && { agent }),
	};
}
