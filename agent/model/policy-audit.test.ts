import { describe, expect, it } from 'vitest';
import { parseClusterNetworkPolicy } from './cluster-network-policy.ts';
import { parseNetworkPolicy } from './network-policy.ts';
import { AUDIT_ANNOTATION } from './policy-audit.ts';

const CLUSTER = { tier: 'Admin', priority: 1, subject: { namespaces: {} } };

describe('the annotation of audit mode', () => {
	it.each([
		['true', true, 0],
		[' true ', true, 0],
		['false', false, 0],
		['yes', false, 1],
	])('%j: audit %s, %i problems', (text, audit, problems) => {
		const annotations = { [AUDIT_ANNOTATION]: text };
		const network = parseNetworkPolicy({ metadata: { name: 'p', annotations }, spec: { podSelector: {} } });
		const cluster = parseClusterNetworkPolicy({ metadata: { name: 'p', annotations }, spec: CLUSTER });
		for (const parsed of [network, cluster]) {
			expect(parsed.ok && [parsed.value.audit, parsed.value.unsupported.length]).toEqual([audit, problems]);
		}
	});

	it('leaves a policy whose annotation cannot be read enforced as it is written', () => {
		const metadata = { name: 'p', annotations: { [AUDIT_ANNOTATION]: 'on' } };
		const parsed = parseNetworkPolicy({ metadata, spec: { podSelector: {}, ingress: [{}] } });
		expect(parsed.ok && parsed.value).toMatchObject({ ingress: [{ peers: null, ports: null }], egress: null });
	});
});
