/**
 * What the installer asks of the API server, through the official client: apply, read, list, delete. Failures are CliErrors that name
 * the object.
 */
import {
	ApiException,
	KubeConfig,
	type KubernetesObject,
	KubernetesObjectApi,
	PatchStrategy,
	VersionApi,
} from '@kubernetes/client-node';
import { CliError, EXIT } from '../exit.ts';

/** Owner of the fields that the installer sets. */
export const FIELD_MANAGER = 'fairlead';

/** Enough to find an object. */
export type ObjectRef = Pick<KubernetesObject, 'apiVersion' | 'kind'> & {
	readonly metadata: { readonly name: string; readonly namespace?: string };
};

export interface Access {
	/** '' = as kubectl finds it: KUBECONFIG, ~/.kube/config, service account. */
	readonly kubeconfig: string;
	/** '' = the current one. */
	readonly context: string;
}

export class ClusterApi {
	readonly server: string;
	readonly #objects: KubernetesObjectApi;
	readonly #version: VersionApi;

	private constructor(config: KubeConfig, server: string) {
		this.server = server;
		this.#objects = KubernetesObjectApi.makeApiClient(config);
		this.#version = config.makeApiClient(VersionApi);
	}

	/** @throws CliError when there is no configuration that can be used */
	static open({ kubeconfig, context }: Access): ClusterApi {
		const config = new KubeConfig();
		try {
			if (kubeconfig === '') config.loadFromDefault();
			else config.loadFromFile(kubeconfig);
			if (context !== '') config.setCurrentContext(context);
		} catch (cause) {
			throw new CliError(EXIT.USAGE, `cannot use kubeconfig ${kubeconfig}: ${messageOf(cause)}`, { cause });
		}
		const cluster = config.getCurrentCluster();
		if (cluster === null) throw new CliError(EXIT.USAGE, 'no cluster is configured: set --kubeconfig or --context');
		return new ClusterApi(config, cluster.server);
	}

	/** 33 of Kubernetes 1.33 */
	async minorVersion(): Promise<number> {
		const { major, minor } = await this.#ask('version of the API server', () => this.#version.getCode());
		if (major !== '1')
			throw new CliError(EXIT.FAILURE, `cannot install on Kubernetes ${major}.${minor}: it is unknown`);
		return Number.parseInt(minor, 10);
	}

	/** Server-side apply: what others have set stays theirs. @param force  take over fields that others have set otherwise */
	apply<T extends KubernetesObject>(object: T, force: boolean, dryRun = false): Promise<T> {
		return this.#ask(nameOf(object), () =>
			this.#objects.patch(
				object,
				undefined,
				dryRun ? 'All' : undefined,
				FIELD_MANAGER,
				force,
				PatchStrategy.ServerSideApply,
			),
		);
	}

	/** @returns undefined when there is no such object, or no such kind */
	async read<T extends KubernetesObject>(ref: ObjectRef): Promise<T | undefined> {
		return this.#orNothing(nameOf(ref), () => this.#objects.read(ref as never) as Promise<T>);
	}

	async list<T extends KubernetesObject>(
		apiVersion: string,
		kind: string,
		o: { readonly namespace?: string; readonly labelSelector?: string } = {},
	): Promise<readonly T[]> {
		const what = `${kind} objects`;
		const list = await this.#orNothing(what, () =>
			this.#objects.list<T>(apiVersion, kind, o.namespace, undefined, undefined, undefined, undefined, o.labelSelector),
		);
		return list?.items ?? [];
	}

	/** @returns false when there was none */
	async remove(ref: ObjectRef): Promise<boolean> {
		const deleted = await this.#orNothing(nameOf(ref), () =>
			this.#objects.delete(ref, undefined, undefined, undefined, undefined, 'Background'),
		);
		return deleted !== undefined;
	}

	async #orNothing<T>(what: string, ask: () => Promise<T>): Promise<T | undefined> {
		try {
			return await ask();
		} catch (error) {
			// the client asks which kinds there are; one that is not there is an Error of its own
			if (
				error instanceof ApiException ? error.code === 404 : /Unrecognized API version and kind/.test(messageOf(error))
			)
				return undefined;
			throw this.#failure(what, error);
		}
	}

	async #ask<T>(what: string, ask: () => Promise<T>): Promise<T> {
		try {
			return await ask();
		} catch (error) {
			throw this.#failure(what, error);
		}
	}

	#failure(what: string, cause: unknown): CliError {
		if (cause instanceof ApiException) {
			const status = cause.body as { message?: string } | string;
			const text = typeof status === 'string' ? (parsed(status) ?? status) : (status?.message ?? '');
			const advice = cause.code === 409 ? '; --force-conflicts takes these fields over' : '';
			return new CliError(EXIT.FAILURE, `${what}: the API server answered ${cause.code}: ${text.trim()}${advice}`, {
				cause,
			});
		}
		const text = rootMessage(cause);
		return new CliError(EXIT.UNREACHABLE, `${what}: cannot ask ${this.server}: ${text}`, { cause });
	}
}

/** 'DaemonSet fairlead-system/fairlead-agent' */
export function nameOf({ kind, metadata }: KubernetesObject): string {
	const { namespace, name } = metadata ?? {};
	return `${kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
}

/** fetch() says only that it failed; what it stumbled over says why. */
function rootMessage(error: unknown): string {
	if (error instanceof AggregateError && error.errors.length > 0) return rootMessage(error.errors[0]);
	if (error instanceof Error && error.cause !== undefined) return rootMessage(error.cause);
	const code = (error as { code?: unknown } | undefined)?.code;
	const text = messageOf(error);
	return typeof code !== 'string' || text.includes(code) ? text : `${code}: ${text}`;
}

function messageOf(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}

function parsed(json: string): string | undefined {
	try {
		return (JSON.parse(json) as { message?: string }).message;
	} catch {
		return undefined;
	}
}
