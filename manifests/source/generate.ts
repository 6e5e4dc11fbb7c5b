/**
 * Writes what of the manifests is made: the Kustomize base and parts of the Helm chart. `npm run gen` calls it; a test holds the
 * committed files against it.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { KubernetesObject } from '@kubernetes/client-node';
import { stringify } from 'yaml';
import { chartYaml, madeTemplates, valuesJsonSchema, valuesYaml } from './chart.ts';
import { DEFAULT_NAMESPACE, type Installation } from './names.ts';
import { renderObjects } from './objects.ts';
import { DEFAULT_VALUES } from './values.ts';
import { formatObject } from './yaml.ts';

const MANIFESTS = join(import.meta.dirname, '..');
export const CHART_DIR = join(MANIFESTS, 'helm/fairlead');
export const BASE_DIR = join(MANIFESTS, 'base');
/** What the base is written for: AppArmor is named by field from 1.30 on. */
export const BASE_KUBERNETES_MINOR = 30;

export function packageVersion(): string {
	const text = readFileSync(join(MANIFESTS, '../package.json'), 'utf8');
	return (JSON.parse(text) as { version: string }).version;
}

export function baseInstallation(): Installation {
	return {
		values: DEFAULT_VALUES,
		namespace: DEFAULT_NAMESPACE,
		version: packageVersion(),
		kubernetesMinor: BASE_KUBERNETES_MINOR,
	};
}

/** 'DaemonSet' → 'daemon-set.yaml' */
export function fileNameOf({ kind = '' }: KubernetesObject): string {
	return `${kind.replace(/(?<=[a-z])[A-Z]/g, (c) => `-${c}`).toLowerCase()}.yaml`;
}

/** Made files by path, relative to manifests/. */
export function madeFiles(): Readonly<Record<string, string>> {
	const made = '# Made by manifests/source/generate.ts: change that instead, or patch it in an overlay.\n';
	const objects = renderObjects(baseInstallation());
	const kustomization = {
		apiVersion: 'kustomize.config.k8s.io/v1beta1',
		kind: 'Kustomization',
		resources: objects.map(fileNameOf),
	};
	const chart = (files: Readonly<Record<string, string>>): [string, string][] =>
		Object.entries(files).map(([name, text]) => [`helm/fairlead/${name}`, text]);
	return {
		'base/kustomization.yaml': made + stringify(kustomization),
		...Object.fromEntries(objects.map((object) => [`base/${fileNameOf(object)}`, made + formatObject(object)])),
		...Object.fromEntries(
			chart({
				'Chart.yaml': chartYaml(packageVersion()),
				'values.yaml': valuesYaml(),
				'values.schema.json': `${JSON.stringify(valuesJsonSchema(), null, 2)}\n`,
			}),
		),
		...Object.fromEntries(
			Object.entries(madeTemplates()).map(([name, text]) => [`helm/fairlead/templates/${name}`, text]),
		),
	};
}

export function writeMadeFiles(): void {
	for (const [path, text] of Object.entries(madeFiles())) {
		mkdirSync(dirname(join(MANIFESTS, path)), { recursive: true });
		writeFileSync(join(MANIFESTS, path), text);
	}
}

if (import.meta.main) writeMadeFiles();
