/** Objects as YAML, always in the same form. */
import type { KubernetesObject } from '@kubernetes/client-node';
import { stringify } from 'yaml';

/** One document, keys in the order in which people look for them. */
export function formatObject(object: KubernetesObject): string {
	return stringify(object, { lineWidth: 0, aliasDuplicateObjects: false });
}

/** Several documents. */
export function formatObjects(objects: readonly KubernetesObject[]): string {
	return objects.map(formatObject).join('---\n');
}
