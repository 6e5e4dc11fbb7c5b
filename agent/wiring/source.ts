/**
 * Where desired state comes from, as configured: files or an API server behind one interface.
 */
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from '../config/schema.ts';
import type { PodLookupOptions } from '../node/pod-lookup.ts';
import { FilesSource } from '../sources/files/files-source.ts';
import { type FileProblem, formatFileProblem } from '../sources/files/load.ts';
import type { WriteApi } from '../sources/kubernetes/event-writer.ts';
import { KubernetesSource } from '../sources/kubernetes/kubernetes-source.ts';
import type { SourceProblem } from '../sources/problem.ts';
import type { ClusterStore } from '../sources/store.ts';
import { StandaloneObjects } from './standalone.ts';

export interface Source {
	/** Resolves when the store has everything that there was. @throws what makes the source unusable as configured */
	start(): Promise<void>;
	/** What was delivered stays in the store. */
	close(): void;
	/** Requests about single objects; absent = there is no API server. */
	readonly api?: WriteApi;
	/** Asks for a pod that the store does not have yet; there when `api` is. */
	readonly askPod?: PodLookupOptions['ask'];
}

export interface SourceOptions {
	readonly config: Config;
	readonly store: ClusterStore;
	readonly log: Logger;
	/** All current problems, whenever they changed. */
	readonly onProblems: (problems: readonly SourceProblem[]) => void;
}

export function createSource(options: SourceOptions): Source {
	return options.config.source === 'kubernetes' ? kubernetesSource(options) : filesSource(options);
}

function filesSource({ config, store, log, onProblems }: SourceOptions): Source {
	const onLeftOut = (object: string) => log.warn({ object }, 'object left out: there is no cluster in standalone mode');
	return new FilesSource({
		directory: config.filesDir,
		store: config.standalone ? new StandaloneObjects({ store, nodeName: config.nodeName, onLeftOut }) : store,
		onProblems: (problems) => {
			onProblems(problems.map(ofFile));
			for (const problem of problems) log.warn({ problem: formatFileProblem(problem) }, 'object refused');
		},
		onIgnored: (objects) =>
			log.info({ objects: objects.slice(0, 20), count: objects.length }, 'kinds that are not used here'),
	});
}

function ofFile({ file, line, object, path, message, keptLastGood }: FileProblem): SourceProblem {
	return { origin: `${file}:${line}`, object, path, message, keptLastGood };
}

function kubernetesSource({ config, store, log, onProblems }: SourceOptions): Source {
	const { nodeName, serviceProxyName, kubeconfig, k8sApiServer, allPods, stateDir } = config;
	let said = new Set<string>();
	return new KubernetesSource({
		store,
		nodeName,
		serviceProxyName,
		kubeconfig,
		servers: k8sApiServer,
		rememberedFile: join(stateDir, 'api-servers.json'),
		allPods,
		onProblems: (problems) => {
			onProblems(problems);
			const texts = new Set(problems.filter(({ path }) => path !== '').map(formatProblem));
			for (const problem of texts) if (!said.has(problem)) log.warn({ problem }, 'object refused');
			said = texts;
		},
		onConnection: (connected, server, reason) => {
			if (connected) log.info({ server }, 'following the API server');
			else log.warn({ server, reason }, 'not following the API server; everything stays in force');
		},
	});
}

/** One line for people and logs: object, field, what is wrong, what happens. */
export function formatProblem({ object, path, message, keptLastGood }: SourceProblem): string {
	const field = path === '' ? '' : `${path}: `;
	const kept = keptLastGood ? '; what was last known stays in force' : '';
	return `${object}: ${field}${message}${kept}`;
}
