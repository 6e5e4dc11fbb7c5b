import { describe, expect, it } from 'vitest';
import { formatClusterNetworkPolicy, parseClusterNetworkPolicy } from './cluster-network-policy.ts';
import type { Parsed } from './fields.ts';
import { formatNetworkPolicy, parseNetworkPolicy } from './network-policy.ts';
import { parsePod } from './pod.ts';
import { formatSelector } from './policy-selector.ts';

function wanted<T>(parsed: Parsed<T>): T {
	if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
	return parsed.value;
}

const issuesOf = (parsed: Parsed<unknown>): string[] =>
	parsed.ok ? [] : parsed.issues.map(({ path, message }) => `${path}: ${message}`);

const np = (spec: unknown) => parseNetworkPolicy({ metadata: { name: 'p', namespace: 'x' }, spec });
const cnp = (spec: object) =>
	parseClusterNetworkPolicy({
		metadata: { name: 'c' },
		spec: { tier: 'Admin', priority: 5, subject: { namespaces: {} }, ...spec },
	});

describe('parseNetworkPolicy', () => {
	it.each([
		['nothing: ingress only', {}, [], null],
		['no types but an egress rule: both', { egress: [{}] }, [], [{ peers: null, ports: null }]],
		['no types and an empty egress list: ingress only', { egress: [] }, [], null],
		['type Egress alone: egress only', { policyTypes: ['Egress'], ingress: [{}] }, null, []],
		['an empty list of types: no direction', { policyTypes: [], ingress: [{}] }, null, null],
	])('isolates as Kubernetes does: %s', (_what, spec, ingress, egress) => {
		expect(wanted(np({ podSelector: {}, ...spec }))).toMatchObject({ ingress, egress, unsupported: [] });
	});

	it('reads peers, ports and selectors in one form whatever the order they are written in', () => {
		const selector = {
			matchLabels: { b: '1', a: '2' },
			matchExpressions: [
				{ key: 'tier', operator: 'NotIn', values: ['z', 'y', 'z'] },
				{ key: 'a', operator: 'In', values: ['2'] },
				{ key: 'q', operator: 'DoesNotExist' },
				{ key: 'e', operator: 'Exists', values: [] },
			],
		};
		const policy = wanted(
			np({
				podSelector: selector,
				ingress: [
					{
						from: [
							{ podSelector: {} },
							{ namespaceSelector: {} },
							{ ipBlock: { cidr: '10.0.0.7/8', except: ['10.1.0.0/16'] } },
						],
						ports: [
							{ port: 80 },
							{ protocol: 'SCTP' },
							{ protocol: 'UDP', port: 'dns' },
							{ port: 8000, endPort: 8010 },
						],
					},
				],
			}),
		);
		expect(formatSelector(policy.podSelector)).toBe('!q,a=2,b=1,e,tier notin (y,z)');
		expect(policy.ingress).toEqual([
			{
				peers: [
					{ kind: 'pods', namespaceSelector: null, podSelector: [] },
					{ kind: 'pods', namespaceSelector: [], podSelector: [] },
					{ kind: 'block', cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] },
				],
				ports: [
					{ protocol: 'TCP', port: 80, endPort: null },
					{ protocol: 'SCTP', port: null, endPort: null },
					{ protocol: 'UDP', port: 'dns', endPort: null },
					{ protocol: 'TCP', port: 8000, endPort: 8010 },
				],
			},
		]);
		expect(formatNetworkPolicy(policy)).toBe('x/p of !q,a=2,b=1,e,tier notin (y,z): ingress 1, egress - rules');
	});

	it.each([
		[
			'a bad operator',
			{ podSelector: { matchExpressions: [{ key: 'a', operator: 'Gt' }] } },
			'spec.podSelector.matchExpressions[0].operator',
		],
		[
			'In without values',
			{ podSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } },
			'expected values for In',
		],
		['an unknown field of a selector', { podSelector: { matchFields: [] } }, 'unknown key "matchFields"'],
		[
			'endPort without a number',
			{ ingress: [{ ports: [{ port: 'http', endPort: 90 }] }] },
			'spec.ingress[0].ports[0].endPort',
		],
		['endPort below port', { ingress: [{ ports: [{ port: 91, endPort: 90 }] }] }, 'expected at least 91, got 90'],
		['a port name nobody can have', { ingress: [{ ports: [{ port: 'UPPER' }] }] }, 'spec.ingress[0].ports[0].port'],
		[
			'an exception outside its block',
			{ ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['11.0.0.0/9'] } }] }] },
			'spec.ingress[0].from[0].ipBlock.except[0]: expected a strict part of 10.0.0.0/8, got 11.0.0.0/9',
		],
		[
			'an exception as large as its block',
			{ ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.0.0/8'] } }] }] },
			'expected a strict part',
		],
		[
			'a block beside a selector',
			{ egress: [{ to: [{ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }] }] },
			'spec.egress[0].to[0].ipBlock: expected no selector beside it',
		],
	])('names the field of %s', (_what, spec, expected) => {
		expect(issuesOf(np({ podSelector: {}, ...spec })).join('\n')).toContain(expected);
	});

	it('allows nothing by a rule, peer or port with a field it does not know, and says so', () => {
		const policy = wanted(
			np({
				podSelector: {},
				ingress: [
					{ from: [{ podSelector: {} }], methods: ['GET'] },
					{ from: [{ podSelector: {}, serviceAccount: 'x' }, { namespaceSelector: {} }] },
					{ ports: [{ port: 80, path: '/' }] },
					{ from: [{}] },
				],
			}),
		);
		expect(policy.ingress).toEqual([
			{ peers: [], ports: [] },
			{ peers: [{ kind: 'pods', namespaceSelector: [], podSelector: [] }], ports: null },
			{ peers: null, ports: [] },
			{ peers: [], ports: null },
		]);
		expect(policy.unsupported.map(({ path }) => path)).toEqual([
			'spec.ingress[0].methods',
			'spec.ingress[1].from[0].serviceAccount',
			'spec.ingress[2].ports[0].path',
			'spec.ingress[3].from[0]',
		]);
	});

	it('closes both directions when the spec has a field it does not know', () => {
		const policy = wanted(np({ podSelector: {}, ingress: [{}], mode: 'audit' }));
		expect(policy).toMatchObject({ ingress: [], egress: [], unsupported: [{ path: 'spec.mode' }] });
	});
});

describe('parseClusterNetworkPolicy', () => {
	it('reads subjects, actions, peers and ports', () => {
		const policy = wanted(
			cnp({
				subject: { pods: { namespaceSelector: { matchLabels: { team: 'a' } }, podSelector: {} } },
				ingress: [{ name: 'in', action: 'Pass', from: [{ namespaces: {} }] }],
				egress: [
					{
						action: 'Deny',
						to: [{ networks: ['10.0.0.1/8', 'fd00::/8'] }, { nodes: { matchLabels: { zone: 'z' } } }],
						protocols: [
							{ tcp: { destinationPort: { number: 80 } } },
							{ udp: { destinationPort: { range: { start: 53, end: 54 } } } },
							{ sctp: {} },
							{ destinationNamedPort: 'web' },
						],
					},
					{ action: 'Accept', to: [{ domainNames: ['*.Example.org.', 'a.test'] }] },
				],
			}),
		);
		expect(policy.ingress).toEqual([
			{ name: 'in', action: 'Pass', peers: [{ kind: 'pods', namespaceSelector: [], podSelector: [] }], ports: null },
		]);
		expect(policy.egress[0]).toMatchObject({
			peers: [{ kind: 'networks', cidrs: ['10.0.0.0/8', 'fd00::/8'] }, { kind: 'nodes' }],
			ports: [
				{ kind: 'range', protocol: 'TCP', first: 80, last: 80 },
				{ kind: 'range', protocol: 'UDP', first: 53, last: 54 },
				{ kind: 'range', protocol: 'SCTP', first: 0, last: 65535 },
				{ kind: 'named', name: 'web' },
			],
		});
		expect(policy.egress[1]!.peers).toEqual([{ kind: 'domains', names: ['*.example.org', 'a.test'] }]);
		expect(formatClusterNetworkPolicy(policy)).toBe('c Admin 5 of all pods in team=a: ingress 1, egress 2 rules');
	});

	it.each([
		['no subject', { subject: {} }, 'spec.subject: expected one of namespaces and pods'],
		['a priority out of range', { priority: 1001 }, 'spec.priority'],
		['an unknown tier', { tier: 'Extra' }, 'spec.tier'],
		['no peers', { ingress: [{ action: 'Deny', from: [] }] }, 'spec.ingress[0].from'],
		[
			'two kinds in one peer',
			{ egress: [{ action: 'Deny', to: [{ namespaces: {}, networks: ['10.0.0.0/8'] }] }] },
			'spec.egress[0].to[0].networks: expected one kind of peer',
		],
		[
			'networks as a source',
			{ ingress: [{ action: 'Deny', from: [{ networks: ['10.0.0.0/8'] }] }] },
			'spec.ingress[0].from[0]: expected namespaces or pods',
		],
		[
			'domain names in a Deny rule',
			{ egress: [{ action: 'Deny', to: [{ domainNames: ['a.b'] }] }] },
			'spec.egress[0].to[0].domainNames: expected an Accept rule',
		],
		[
			'a wildcard inside a name',
			{ egress: [{ action: 'Accept', to: [{ domainNames: ['a.*.b'] }] }] },
			'expected a domain name, got "a.*.b"',
		],
		[
			'a range that ends before it starts',
			{
				egress: [
					{
						action: 'Accept',
						to: [{ namespaces: {} }],
						protocols: [{ tcp: { destinationPort: { range: { start: 5, end: 4 } } } }],
					},
				],
			},
			'destinationPort.range.end',
		],
	])('names the field of %s', (_what, spec, expected) => {
		expect(issuesOf(cnp(spec)).join('\n')).toContain(expected);
	});

	it('fails closed on what it does not know: nobody for Accept, a Deny of everybody for Deny and Pass', () => {
		const policy = wanted(
			cnp({
				ingress: [
					{ action: 'Accept', from: [{ spiffe: 'x' }, { namespaces: {} }] },
					{ action: 'Deny', from: [{ spiffe: 'x' }] },
					{ action: 'Pass', from: [{ namespaces: {} }], protocols: [{ icmp: {} }] },
					{ action: 'Accept', from: [{ namespaces: {} }], protocols: [{ icmp: {} }] },
					{ action: 'Log', from: [{ namespaces: {} }] },
					{ action: 'Accept', from: [{ namespaces: {} }], rate: 5 },
				],
			}),
		);
		const all = { kind: 'pods', namespaceSelector: [], podSelector: [] };
		expect(policy.ingress.map(({ action, peers, ports }) => [action, peers, ports])).toEqual([
			['Accept', [all], null],
			['Deny', null, null],
			['Deny', null, null],
			['Accept', [all], []],
			['Deny', null, null],
			['Accept', [], null],
		]);
		expect(policy.unsupported).toHaveLength(6);
	});
});

describe('parsePod', () => {
	it('keeps the named ports of containers that stay', () => {
		const ports = (name: string) => [{ name, containerPort: 80 }, { containerPort: 81 }];
		const pod = parsePod({
			metadata: { name: 'a' },
			spec: {
				containers: [{ ports: ports('web') }],
				initContainers: [
					{ ports: ports('setup') },
					{ ports: [{ name: 'dns', protocol: 'UDP', containerPort: 53 }], restartPolicy: 'Always' },
				],
			},
		});
		expect(wanted(pod).namedPorts).toEqual([
			{ name: 'web', protocol: 'TCP', port: 80 },
			{ name: 'dns', protocol: 'UDP', port: 53 },
		]);
	});
});
