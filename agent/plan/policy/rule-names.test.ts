import { describe, expect, it } from 'vitest';
import { PolicyCookie } from '../../../native/abi/generated.ts';
import { CompiledWorld } from '../../../test/lib/policy-compiled.ts';
import { setClusterPolicy, setNetworkPolicy, usualWorld } from '../../../test/lib/policy-world.ts';
import { RuleNames } from './rule-names.ts';

function compiled() {
	const world = usualWorld();
	setNetworkPolicy(world, 'x/web', {
		podSelector: {},
		ingress: [{ from: [{ podSelector: {} }], ports: [{ port: 80 }] }],
	});
	setNetworkPolicy(world, 'x/dns', { podSelector: {}, ingress: [{ ports: [{ protocol: 'UDP' }] }] });
	setClusterPolicy(world, 'guard', {
		tier: 'Admin',
		priority: 1,
		subject: { namespaces: { matchLabels: { ns: 'x' } } },
		ingress: [{ name: 'no z', action: 'Deny', from: [{ namespaces: { matchLabels: { ns: 'z' } } }] }],
	});
	const built = new CompiledWorld();
	built.follow(world);
	const cookieOf = (name: string): number => {
		for (let cookie = PolicyCookie.FIRST_RULE; cookie < 65_536; cookie++) {
			if (built.compiler.cookies.name(cookie) === name) return cookie;
		}
		throw new Error(name);
	};
	return { world, built, cookieOf, names: new RuleNames(() => built.compiler) };
}

describe('RuleNames', () => {
	it('names the policy and rule, and what of a flow the rule is about', () => {
		const { cookieOf, names } = compiled();
		const web = names.verdict(cookieOf('NetworkPolicy x/web ingress rule 0'), 'ingress', () => '10.244.1.1');
		expect(web).toEqual({
			kind: 'rule',
			text: 'NetworkPolicy x/web ingress rule 0',
			policies: [{ kind: 'NetworkPolicy', namespace: 'x', name: 'web' }],
			rule: 'ingress rule 0',
			deny: false,
			match: 'l3-l4',
		});
		const dns = names.verdict(cookieOf('NetworkPolicy x/dns ingress rule 0'), 'ingress', () => '10.244.1.1');
		expect(dns.match).toBe('proto');
		const guard = names.verdict(cookieOf('ClusterNetworkPolicy guard ingress rule 0'), 'ingress', () => '10.244.1.1');
		expect(guard).toMatchObject({ text: 'ClusterNetworkPolicy guard ingress rule 0 "no z"', deny: true, match: 'l3' });
		expect(names.verdict(cookieOf('NetworkPolicy x/web ingress rule 0'), 'ingress', () => '10.244.1.2')).toBe(web);
	});

	it('names the policies that isolate a pod when none of them allows', () => {
		const { built, names } = compiled();
		const { cookie } = [...built.compiler.sets()][0]!.programs.ingress.isolation.all;
		const none = names.verdict(cookie, 'ingress', () => 'fd00:244:0:1::1');
		expect(none.text).toBe('no policy allows it (isolated by NetworkPolicy x/dns, NetworkPolicy x/web)');
		expect(names.verdict(cookie, 'ingress', () => '10.244.1.2')).toBe(none);
		expect(built.compiler.cookies.name(cookie)).toBe('not allowed');
		expect(names.verdict(PolicyCookie.NOT_ALLOWED, 'egress', () => '10.9.9.9').text).toBe('no policy allows it');
	});

	it('names the policies of a set that could not be programmed', () => {
		const { names } = compiled();
		expect(names.verdict(PolicyCookie.CLOSED, 'ingress', () => '10.244.1.1').text).toBe(
			'policies could not be programmed: ClusterNetworkPolicy guard, NetworkPolicy x/dns, NetworkPolicy x/web',
		);
	});

	it('does not name a rule that is gone, and says who decided without a rule', () => {
		const { world, built, cookieOf, names } = compiled();
		const cookie = cookieOf('NetworkPolicy x/web ingress rule 0');
		expect(names.verdict(cookie, 'ingress', () => '10.244.1.1').kind).toBe('rule');
		world.networkPolicies.delete('x/web');
		built.follow(world);
		expect(names.verdict(cookie, 'ingress', () => '10.244.1.1').kind).toBe('gone');
		expect(names.verdict(PolicyCookie.HOST, 'ingress', () => '10.244.1.1').text).toBe('own node');
		expect(names.verdict(PolicyCookie.NO_POLICY, 'ingress', () => '10.244.1.1').kind).toBe('no-policy');
	});
});
