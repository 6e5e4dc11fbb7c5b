import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { clusterRef, EVENT_REASONS, formatRef, namespacedRef, nodeRef, podRef, serviceRef } from './event.ts';

describe('reasons of Events', () => {
	it('are explained in docs/node-lifecycle.md, each once and no other', () => {
		const text = readFileSync(new URL('../../docs/node-lifecycle.md', import.meta.url), 'utf8');
		const documented = [...text.matchAll(/^\| `([A-Z][A-Za-z]+)` \|/gm)].map(([, reason]) => reason);
		expect(documented.sort()).toEqual(Object.keys(EVENT_REASONS).sort());
	});

	it('are short enough for the API: 128 characters', () => {
		expect(Object.keys(EVENT_REASONS).filter((reason) => reason.length > 128)).toEqual([]);
	});
});

describe('references to objects', () => {
	it('have the namespace of namespaced kinds, and the name of a node as its uid', () => {
		expect(serviceRef('shop/web')).toEqual({
			apiVersion: 'v1',
			kind: 'Service',
			namespace: 'shop',
			name: 'web',
			uid: '',
		});
		expect(podRef('shop/web-0', 'u1')).toMatchObject({ kind: 'Pod', namespace: 'shop', name: 'web-0', uid: 'u1' });
		expect(nodeRef('n1')).toMatchObject({ namespace: '', name: 'n1', uid: 'n1' });
		expect(formatRef(namespacedRef('networking.k8s.io/v1', 'NetworkPolicy', 'a/b'))).toBe('NetworkPolicy a/b');
		expect(formatRef(clusterRef('v1', 'Node', 'n1'))).toBe('Node n1');
	});
});
