import { describe, expect, it } from 'vitest';
import { CompiledWorld, peerCidrs } from '../../../test/lib/policy-compiled.ts';
import { simulateFlow } from '../../../test/lib/policy-simulator.ts';
import { type MutableWorld, PROTOCOLS, setClusterPolicy, usualWorld } from '../../../test/lib/policy-world.ts';
import { patternsOf } from './domain-names.ts';
import type { PolicyStep } from './types.ts';

/** Which names have which addresses. */
type Learnt = Map<string, Set<string>>;

const NAMES = ['example.com', 'www.example.com', 'a.b.example.com', 'example.org', 'db.example.org'];
const PATTERNS = ['example.com', '*.example.com', 'www.example.com', '*.b.example.com', '*.org'];
const ADDRESSES = [
	'203.0.113.1',
	'203.0.113.2',
	'198.51.100.7',
	'2001:db8::1',
	'2001:db8:7::7',
	'10.244.2.1',
	'192.168.0.2',
];

/** Independent of the product: does a name fit a pattern? */
function fits(pattern: string, name: string): boolean {
	const labels = name.split('.');
	if (!pattern.startsWith('*.')) return pattern === name;
	const suffix = pattern.slice(2).split('.');
	return labels.length > suffix.length && labels.slice(-suffix.length).join('.') === pattern.slice(2);
}

/** The specification with names replaced by the addresses they have now; a peer without any matches nobody. */
function withAddresses(spec: Spec, learnt: Learnt): object {
	const egress = spec.egress.map((rule) => ({
		...rule,
		to: rule.to.flatMap((peer) => {
			if (!('domainNames' in peer)) return [peer];
			const own = [...learnt].filter(([, names]) => [...names].some((n) => peer.domainNames.some((p) => fits(p, n))));
			const networks = own.map(([address]) => `${address}/${address.includes(':') ? 128 : 32}`);
			return [{ networks: networks.length > 0 ? networks : ['192.0.2.255/32'] }];
		}),
	}));
	return { ...spec, egress };
}

type Peer = { readonly domainNames: string[] } | { readonly networks: string[] };
interface Spec {
	readonly tier: string;
	readonly priority: number;
	readonly subject: object;
	readonly egress: readonly { readonly action: string; readonly to: readonly Peer[]; readonly protocols?: object[] }[];
}

const EVERYWHERE: Peer = { networks: ['0.0.0.0/0', '::/0'] };
const accept = (...domainNames: string[]) => ({ action: 'Accept', to: [{ domainNames }] });
const DENY_REST = { action: 'Deny', to: [EVERYWHERE] };
const policy = (subject: string, ...egress: Spec['egress']): Spec => ({
	tier: 'Admin',
	priority: 5,
	subject: { namespaces: { matchLabels: { ns: subject } } },
	egress,
});

/** A compiled world beside the same world in which names are networks. */
class Pair {
	readonly world = usualWorld();
	readonly oracle = usualWorld();
	readonly compiled = new CompiledWorld();
	readonly learnt: Learnt = new Map();
	readonly #specs = new Map<string, Spec>();

	constructor() {
		this.compiled.follow(this.world);
	}

	setPolicy(name: string, spec: Spec | null): void {
		if (spec === null) {
			this.#specs.delete(name);
			this.world.clusterNetworkPolicies.delete(name);
			this.oracle.clusterNetworkPolicies.delete(name);
		} else {
			this.#specs.set(name, spec);
			setClusterPolicy(this.world, name, spec);
		}
		this.compiled.follow(this.world);
	}

	/** @returns the steps that were needed */
	learn(address: string, ...names: string[]): readonly PolicyStep[] {
		if (names.length === 0) this.learnt.delete(address);
		else this.learnt.set(address, new Set(names));
		const steps = this.compiled.compiler.apply({ domains: new Map([[address, new Set(names)]]) });
		for (const step of steps) {
			this.compiled.maps.apply(step);
			this.compiled.compiler.free({ sets: step.retiredSets, identities: step.retiredIdentities });
		}
		return steps;
	}

	/** Flows that the two judge differently. */
	differences(): string[] {
		for (const [name, spec] of this.#specs) setClusterPolicy(this.oracle, name, withAddresses(spec, this.learnt));
		const wrong: string[] = [];
		for (const pod of ['x/a', 'y/b', 'z/c']) {
			for (const to of [...ADDRESSES, '203.0.113.99', '2001:db8::99']) wrong.push(...this.#compare(pod, to));
		}
		return wrong;
	}

	#compare(pod: string, to: string): string[] {
		const addresses = this.world.pods.get(pod)?.addresses ?? [];
		const from = addresses.find((each) => each.includes(':') === to.includes(':')) ?? '';
		return [80, 443].flatMap((port) => {
			const flow = { from, to, proto: PROTOCOLS.TCP, port };
			const expected = simulateFlow(this.oracle, flow).egress.allowed;
			const got = this.compiled.verdict(this.world as MutableWorld, flow).egress.allowed;
			return got === expected ? [] : [`${pod} to ${to}:${port}: ${got} instead of ${expected}`];
		});
	}
}

const sizeOf = (step: PolicyStep) => ({ rows: step.rows.length, cidrs: step.cidrs.length, sets: step.sets.size });

describe('names', () => {
	it('fit their own pattern and a wildcard of every domain above, but not that of their own', () => {
		expect(patternsOf('a.example.com')).toEqual(['a.example.com', '*.example.com', '*.com']);
		for (const name of NAMES) {
			for (const pattern of PATTERNS)
				expect(patternsOf(name).includes(pattern), `${pattern} ${name}`).toBe(fits(pattern, name));
		}
	});
});

describe('addresses of names', () => {
	it('are let out by rules that name them, from when they are learnt until they are forgotten', () => {
		const pair = new Pair();
		pair.setPolicy('p', policy('x', accept('www.example.com'), DENY_REST));
		expect(pair.differences()).toEqual([]);
		pair.learn('203.0.113.1', 'www.example.com');
		const flow = { from: '10.244.1.1', to: '203.0.113.1', proto: PROTOCOLS.TCP, port: 443 };
		expect(pair.compiled.verdict(pair.world, flow).egress.allowed).toBe(true);
		expect(pair.differences()).toEqual([]);
		pair.learn('203.0.113.1');
		expect(pair.compiled.verdict(pair.world, flow).egress.allowed).toBe(false);
		expect(pair.differences()).toEqual([]);
	});

	it('that were learnt before count for a policy that comes later', () => {
		const pair = new Pair();
		pair.learn('203.0.113.1', 'www.example.com');
		pair.setPolicy('p', policy('x', accept('*.example.com'), DENY_REST));
		expect(pair.differences()).toEqual([]);
	});

	it('cost one prefix and no row if their like is known', () => {
		const pair = new Pair();
		pair.setPolicy('p', policy('x', accept('*.example.com'), DENY_REST));
		const [first] = pair.learn('203.0.113.1', 'www.example.com');
		expect(sizeOf(first!)).toEqual({ rows: 1, cidrs: 1, sets: 0 });
		const [second] = pair.learn('203.0.113.2', 'a.b.example.com');
		expect(sizeOf(second!)).toEqual({ rows: 0, cidrs: 1, sets: 0 });
		expect(second?.bump.size).toBe(0);
		expect(pair.learn('203.0.113.2', 'a.b.example.com', 'www.example.com')).toEqual([]);
		expect(pair.learn('198.51.100.7', 'example.net')).toEqual([]);
	});

	it('say which pods need to be listened to', () => {
		const pair = new Pair();
		pair.setPolicy('p', policy('x', accept('example.com'), DENY_REST));
		expect(pair.compiled.compiler.endpointOf('x/a')?.domains).toBe(true);
		expect(pair.compiled.compiler.endpointOf('y/a')?.domains).toBe(false);
		pair.setPolicy('p', policy('x', DENY_REST));
		expect(pair.compiled.compiler.endpointOf('x/a')?.domains).toBe(false);
	});

	it('keep their numbers over a restart, but not those that others had as well who are told apart now', () => {
		const numbersOf = (compiled: CompiledWorld) =>
			new Map([...compiled.compiler.identities.cidrs].map(([cidr, { row }]) => [cidr, row.identity]));
		const first = new Pair();
		first.setPolicy('p', policy('x', accept('*.example.com'), accept('example.org'), DENY_REST));
		first.learn('203.0.113.1', 'www.example.com');
		first.learn('203.0.113.2', 'www.example.com');
		const hints = {
			addresses: new Map<string, number>(),
			cidrs: numbersOf(first.compiled),
			sets: new Map<string, number>(),
		};
		const again = (names: Record<string, string>) => {
			const compiled = new CompiledWorld('node-1', hints);
			const domains = new Map(Object.entries(names).map(([address, name]) => [address, new Set([name])]));
			const { pods, namespaces, nodes, clusterNetworkPolicies } = first.world;
			const cidrs = peerCidrs(first.world.clusterCidrs);
			compiled.compiler.apply({ pods, namespaces, nodes, clusterNetworkPolicies, peerCidrs: cidrs, domains });
			return numbersOf(compiled);
		};
		expect(again({ '203.0.113.1': 'www.example.com', '203.0.113.2': 'www.example.com' })).toEqual(hints.cidrs);
		const apart = again({ '203.0.113.1': 'www.example.com', '203.0.113.2': 'example.org' });
		const before = hints.cidrs.get('203.0.113.1/32');
		expect([apart.get('203.0.113.1/32'), apart.get('203.0.113.2/32')]).not.toContain(before);
		expect(apart.get('203.0.113.1/32')).not.toBe(apart.get('203.0.113.2/32'));
	});

	it('are judged as their networks would be, in whatever order names and policies come and go', () => {
		let seed = 7;
		const below = (n: number): number => {
			seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
			return (seed >>> 8) % n;
		};
		const some = (from: readonly string[]) => from.filter(() => below(3) === 0);
		for (let round = 0; round < 12; round++) {
			const pair = new Pair();
			for (let step = 0; step < 20; step++) {
				if (below(4) > 0) pair.learn(ADDRESSES[below(ADDRESSES.length)]!, ...some(NAMES));
				else {
					const patterns = some(PATTERNS);
					const block: Peer = {
						networks: [['203.0.113.0/24', '203.0.113.1/32', '2001:db8::/32', '10.0.0.0/8'][below(4)]!],
					};
					const rules = [
						...(patterns.length > 0 ? [accept(...patterns)] : []),
						{ action: ['Accept', 'Deny', 'Pass'][below(3)]!, to: [block] },
						...(below(2) === 0 ? [DENY_REST] : []),
					];
					const spec = policy(['x', 'y', 'z'][below(3)]!, ...(below(2) === 0 ? rules : rules.reverse()));
					pair.setPolicy(`p${below(3)}`, below(5) === 0 ? null : spec);
				}
				expect(pair.differences(), `round ${round} step ${step}`).toEqual([]);
			}
		}
	});
});
