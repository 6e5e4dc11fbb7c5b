/**
 * Audit mode of a policy: what it would drop is let through and reported; every other policy is enforced as if it were not there.
 */
import type { FieldIssue } from './fields.ts';

/** On a NetworkPolicy or ClusterNetworkPolicy: "true" or "false". */
export const AUDIT_ANNOTATION = 'fairlead.dev/policy-audit-mode';

/** @param issues  receives one for a value that is neither; such a policy is enforced */
export function readAuditMode(annotations: Readonly<Record<string, string>>, issues: FieldIssue[]): boolean {
	const text = annotations[AUDIT_ANNOTATION]?.trim() ?? 'false';
	if (text !== 'true' && text !== 'false') {
		const message = `expected "true" or "false", got ${JSON.stringify(text)}; the policy is enforced`;
		issues.push({ path: `metadata.annotations["${AUDIT_ANNOTATION}"]`, message });
	}
	return text === 'true';
}
