/**
 * Random policies, pods, labels and changes of them: compiled rows against the simulator, after each change and (for some) after
 * every single write of it. A failure prints its seed and the shortest history found that still fails.
 */
import type { Address } from '../../agent/model/address.ts';
import { parseClusterNetworkPolicy } from '../../agent/model/cluster-network-policy.ts';
import { parseNetworkPolicy } from '../../agent/model/network-policy.ts';
import type { Pod } from '../../agent/model/pod.ts';
import { CompiledWorld } from './policy-compiled.ts';
import { type PolicyFlow, simulateFlow } from './policy-simulator.ts';
import { auditAnnotations, type MutableWorld, nodeOf, podOf, requireParsed } from './policy-world.ts';

/** One change, as data. `raw` null = delete. */
export interface FuzzOp {
	readonly kind: 'namespace' | 'pod' | 'node' | 'networkPolicy' | 'clusterNetworkPolicy';
	readonly key: string;
	readonly raw: unknown;
	/** Of policies. */
	readonly audit?: 'audit';
}

export interface FuzzFailure {
	readonly seed: number;
	readonly history: readonly FuzzOp[];
	readonly flow: PolicyFlow;
	readonly message: string;
}

type Random = () => number;

/** mulberry32 */
export function seededRandom(seed: number): Random {
	let state = seed >>> 0;
	return () => {
		state = (state + 0x6d2b79f5) >>> 0;
		let t = state;
		t = Math.imul(t ^ (t >>> 15), t | 1);
		t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
		return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
	};
}

const NAMESPACES = ['x', 'y', 'z'];
const VALUES = ['a', 'b'];
const KEYS = ['app', 'role'];
const PORTS = [53, 80, 81, 443];
const PORT_NAMES = ['web', 'dns'];
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'];
const BLOCKS4 = [
	'0.0.0.0/0',
	'10.244.0.0/16',
	'10.244.1.0/24',
	'10.244.1.2/32',
	'203.0.113.0/24',
	'203.0.113.8/29',
	'192.168.0.0/30',
];
const BLOCKS6 = ['::/0', 'fd00:244::/48', 'fd00:244:0:1::/64', '2001:db8::/32', 'fd00:192::/64'];
const OUTSIDE = ['203.0.113.9', '203.0.113.1', '198.51.100.1', '2001:db8::1', '10.244.9.9', 'fd00:244:0:9::9'];
const NODES: Readonly<Record<string, readonly Address[]>> = {
	'node-1': ['192.168.0.1', 'fd00:192::1'],
	'node-2': ['192.168.0.2', 'fd00:192::2'],
	'node-3': ['192.168.0.9'],
};

/** Makes random objects and changes. */
export class Maker {
	readonly random: Random;
	constructor(random: Random) {
		this.random = random;
	}

	int(below: number): number {
		return Math.floor(this.random() * below);
	}
	chance(p: number): boolean {
		return this.random() < p;
	}
	pick<T>(list: readonly T[]): T {
		return list[this.int(list.length)] as T;
	}
	some<T>(max: number, make: () => T): T[] {
		return Array.from({ length: this.int(max + 1) }, make);
	}

	labels(): Record<string, string> {
		return Object.fromEntries(KEYS.filter(() => this.chance(0.6)).map((key) => [key, this.pick(VALUES)]));
	}

	selector(): object {
		const kind = this.random();
		if (kind < 0.2) return {};
		if (kind < 0.65) return { matchLabels: { [this.pick(KEYS)]: this.pick(VALUES) } };
		const operator = this.pick(['In', 'NotIn', 'Exists', 'DoesNotExist']);
		const values = operator.endsWith('In') ? { values: VALUES.filter(() => this.chance(0.6)).concat('q') } : {};
		return { matchExpressions: [{ key: this.pick(KEYS), operator, ...values }] };
	}

	namespaceSelector(): object {
		if (this.chance(0.3)) return { matchLabels: { 'kubernetes.io/metadata.name': this.pick(NAMESPACES) } };
		return this.selector();
	}

	block(): object {
		const four = this.chance(0.7);
		const blocks = four ? BLOCKS4 : BLOCKS6;
		const cidr = this.pick(blocks);
		const length = (text: string): number => Number(text.split('/')[1]);
		const inside = blocks.filter((each) => length(each) > length(cidr) && requireInside(cidr, each));
		return { cidr, ...(inside.length > 0 && this.chance(0.5) ? { except: [this.pick(inside)] } : {}) };
	}

	networkPeer(): object {
		const kind = this.random();
		if (kind < 0.25) return { ipBlock: this.block() };
		if (kind < 0.5) return { podSelector: this.selector() };
		if (kind < 0.75) return { namespaceSelector: this.namespaceSelector() };
		return { podSelector: this.selector(), namespaceSelector: this.namespaceSelector() };
	}

	networkPort(): object {
		const protocol = this.pick(PROTOCOLS);
		const kind = this.random();
		if (kind < 0.2) return { protocol };
		if (kind < 0.45) return { protocol, port: this.pick(PORT_NAMES) };
		const port = this.pick(PORTS);
		return { protocol, port, ...(kind > 0.8 ? { endPort: port + this.int(400) } : {}) };
	}

	networkPolicy(): object {
		const rules = (side: string): object[] =>
			this.some(3, () => ({
				...(this.chance(0.75) ? { [side]: this.some(2, () => this.networkPeer()) } : {}),
				...(this.chance(0.6) ? { ports: this.some(2, () => this.networkPort()) } : {}),
			}));
		const types = this.chance(0.7) ? { policyTypes: ['Ingress', 'Egress'].filter(() => this.chance(0.7)) } : {};
		return { podSelector: this.selector(), ...types, ingress: rules('from'), egress: rules('to') };
	}

	clusterPeer(side: 'from' | 'to'): object {
		const kind = this.random();
		if (side === 'to' && kind < 0.2) return { networks: [this.pick(this.chance(0.7) ? BLOCKS4 : BLOCKS6)] };
		if (side === 'to' && kind < 0.3) return { nodes: this.selector() };
		if (kind < 0.6) return { namespaces: this.namespaceSelector() };
		return { pods: { namespaceSelector: this.namespaceSelector(), podSelector: this.selector() } };
	}

	clusterPort(): object {
		if (this.chance(0.25)) return { destinationNamedPort: this.pick(PORT_NAMES) };
		const start = this.pick(PORTS);
		const destinationPort = this.chance(0.5) ? { number: start } : { range: { start, end: start + this.int(400) } };
		return { [this.pick(PROTOCOLS).toLowerCase()]: this.chance(0.8) ? { destinationPort } : {} };
	}

	clusterPolicy(): object {
		const rules = (side: 'from' | 'to'): object[] =>
			this.some(3, () => ({
				action: this.pick(['Accept', 'Deny', 'Pass']),
				[side]: [this.clusterPeer(side), ...this.some(1, () => this.clusterPeer(side))],
				...(this.chance(0.6) ? { protocols: this.some(2, () => this.clusterPort()) } : {}),
			}));
		const subject = this.chance(0.5)
			? { namespaces: this.namespaceSelector() }
			: { pods: { namespaceSelector: this.namespaceSelector(), podSelector: this.selector() } };
		const tier = this.pick(['Admin', 'Baseline']);
		return { tier, priority: this.int(4), subject, ingress: rules('from'), egress: rules('to') };
	}

	pod(namespace: string, name: string): Pod {
		const [n, p] = [NAMESPACES.indexOf(namespace) + 1, Number(name.slice(1)) + 1];
		const addresses = [`10.244.${n}.${p}`, `fd00:244:0:${n}::${p}`].slice(0, 1 + this.int(2));
		const namedPorts = PORT_NAMES.filter(() => this.chance(0.5)).map((port) => ({
			name: port,
			protocol: this.pick(['TCP', 'UDP', 'SCTP'] as const),
			port: this.pick(PORTS),
		}));
		const over = {
			labels: this.labels(),
			// Addresses belong to nodes: a pod of this name and address is always on the same one.
			node: p < 3 ? 'node-1' : 'node-2',
			namedPorts,
			finished: this.chance(0.05),
			hostNetwork: this.chance(0.05),
		};
		return podOf(namespace, name, this.chance(0.95) ? addresses : [], over);
	}

	op(): FuzzOp {
		const kind = this.random();
		const gone = this.chance(0.2);
		const namespace = this.pick(NAMESPACES);
		if (kind < 0.35) {
			const name = `p${this.int(3)}`;
			return { kind: 'pod', key: `${namespace}/${name}`, raw: gone ? null : this.pod(namespace, name) };
		}
		if (kind < 0.45) return { kind: 'namespace', key: namespace, raw: gone ? null : this.labels() };
		if (kind < 0.5) {
			const name = this.pick(Object.keys(NODES));
			return { kind: 'node', key: name, raw: gone && name !== 'node-1' ? null : this.labels() };
		}
		if (kind < 0.75) {
			const key = `${namespace}/n${this.int(3)}`;
			return { kind: 'networkPolicy', key, raw: gone ? null : this.networkPolicy(), ...this.audit() };
		}
		const key = `c${this.int(3)}`;
		return { kind: 'clusterNetworkPolicy', key, raw: gone ? null : this.clusterPolicy(), ...this.audit() };
	}

	audit(): Pick<FuzzOp, 'audit'> {
		return this.chance(0.15) ? { audit: 'audit' } : {};
	}

	flow(world: MutableWorld): PolicyFlow {
		const pods = [...world.pods.values()].filter((pod) => !pod.hostNetwork && !pod.finished);
		const local = pods.filter(({ node }) => node === 'node-1').flatMap(({ addresses }) => addresses);
		const others = [...pods.flatMap(({ addresses }) => addresses), ...OUTSIDE, ...Object.values(NODES).flat()];
		const subject = local.length > 0 ? this.pick(local) : '10.244.1.1';
		const family = others.filter((each) => each.includes(':') === subject.includes(':'));
		const peer = this.pick(family);
		const proto = this.pick([6, 6, 17, 132, subject.includes(':') ? 58 : 1]);
		const port = proto === 1 || proto === 58 ? 0 : this.pick([...PORTS, 82, 500]);
		const viaService = this.chance(0.5);
		const [from, to] = this.chance(0.5) ? [subject, peer] : [peer, subject];
		return { from, to, proto, port, viaService };
	}
}

function requireInside(outer: string, inner: string): boolean {
	const parsed = parseNetworkPolicy({
		metadata: { name: 'n' },
		spec: { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: outer, except: [inner] } }] }] },
	});
	return parsed.ok;
}

/** Only the own node. */
export function emptyWorld(): MutableWorld {
	return {
		namespaces: new Map(),
		pods: new Map(),
		nodes: new Map([['node-1', nodeOf('node-1', NODES['node-1'] ?? [])]]),
		networkPolicies: new Map(),
		clusterNetworkPolicies: new Map(),
		clusterCidrs: ['10.244.0.0/16', 'fd00:244::/48'],
	};
}

function put<T>(map: Map<string, T>, key: string, value: T | null): void {
	if (value === null) map.delete(key);
	else map.set(key, value);
}

/** Changes a world. */
export function applyOp(world: MutableWorld, { kind, key, raw, audit }: FuzzOp): void {
	const labels = raw as Record<string, string> | null;
	switch (kind) {
		case 'namespace':
			put(world.namespaces, key, labels && { name: key, labels });
			break;
		case 'pod':
			put(world.pods, key, raw as Pod | null);
			break;
		case 'node':
			put(world.nodes, key, labels && nodeOf(key, NODES[key] ?? [], labels));
			break;
		case 'networkPolicy': {
			const [namespace, name] = key.split('/');
			const metadata = { namespace, name, annotations: auditAnnotations(audit) };
			put(world.networkPolicies, key, raw === null ? null : requireParsed(parseNetworkPolicy({ metadata, spec: raw })));
			break;
		}
		case 'clusterNetworkPolicy': {
			const metadata = { name: key, annotations: auditAnnotations(audit) };
			put(
				world.clusterNetworkPolicies,
				key,
				raw === null ? null : requireParsed(parseClusterNetworkPolicy({ metadata, spec: raw })),
			);
		}
	}
}

/** Directions in which this node judges the flow: the subject is its pod, and it alone has the address. */
export function judged(world: MutableWorld, flow: PolicyFlow): readonly ('egress' | 'ingress')[] {
	const isLocal = (address: Address): boolean => {
		const owners = [...world.pods.values()].filter(
			(pod) => !pod.finished && !pod.hostNetwork && pod.addresses.includes(address),
		);
		return owners.length === 1 && owners[0]?.node === 'node-1';
	};
	return (['egress', 'ingress'] as const).filter((direction) => isLocal(direction === 'egress' ? flow.from : flow.to));
}

/** @returns what differs, or undefined */
function compare(world: MutableWorld, compiled: CompiledWorld, flow: PolicyFlow): string | undefined {
	const got = compiled.verdict(world, flow);
	const expected = simulateFlow(world, flow);
	for (const direction of judged(world, flow)) {
		const [mine, truth] = [got[direction], expected[direction]];
		const reason = compiled.reason(mine.cookie);
		const named = truth.by.includes(reason) || truth.by.includes('self') || truth.by.includes('own node');
		const sameAudit = (mine.audited ?? false) === (truth.audited ?? false);
		if (mine.allowed === truth.allowed && named && sameAudit) continue;
		const say = ({ allowed, audited }: { readonly allowed: boolean; readonly audited?: boolean }): string =>
			audited === true ? 'audit' : String(allowed);
		return `${direction}: rows say ${say(mine)} by ${reason}, simulator ${say(truth)} by ${truth.by.join(' or ')}`;
	}
	return undefined;
}

/** Applies one op and looks after every write: a flow is judged as before or as after, never otherwise. */
function compareWrites(
	world: MutableWorld,
	compiled: CompiledWorld,
	op: FuzzOp,
	flows: readonly PolicyFlow[],
): [PolicyFlow, string] | undefined {
	const before = new Map(
		flows.map((flow) => [flow, { judged: judged(world, flow), verdict: simulateFlow(world, flow) }]),
	);
	applyOp(world, op);
	const after = new Map(
		flows.map((flow) => [flow, { judged: judged(world, flow), verdict: simulateFlow(world, flow) }]),
	);
	let found: [PolicyFlow, string] | undefined;
	for (const step of compiled.plan(world)) {
		compiled.maps.apply(step, () => {
			for (const flow of flows) {
				if (found !== undefined || flow.from === flow.to) continue;
				const now = compiled.verdict(world, flow);
				for (const direction of ['egress', 'ingress'] as const) {
					const [old, later] = [before.get(flow), after.get(flow)];
					if (!old?.judged.includes(direction) || !later?.judged.includes(direction)) continue;
					const { allowed } = now[direction];
					if (allowed === old.verdict[direction].allowed || allowed === later.verdict[direction].allowed) continue;
					const message = `${direction}: in between ${allowed} by ${compiled.reason(now[direction].cookie)}`;
					found = [flow, message];
				}
			}
		});
		compiled.compiler.free({ sets: step.retiredSets, identities: step.retiredIdentities });
	}
	return found;
}

export interface FuzzOptions {
	readonly seed: number;
	/** Changes after the start; each is a case. */
	readonly cases: number;
	readonly flowsPerCase: number;
}

const START_OPS = 18;

/** One world from birth to end. @returns undefined when nothing differed */
export function fuzzWorld(options: FuzzOptions): FuzzFailure | undefined {
	const maker = new Maker(seededRandom(options.seed));
	const world = emptyWorld();
	const compiled = new CompiledWorld();
	const history: FuzzOp[] = [];
	for (let i = 0; i < START_OPS; i++) {
		const op = maker.op();
		history.push(op);
		applyOp(world, op);
	}
	compiled.follow(world);
	for (let n = 0; n < options.cases; n++) {
		const op = maker.op();
		history.push(op);
		const writes = n % 4 === 0;
		if (writes) {
			const flows = Array.from({ length: 12 }, () => maker.flow(world));
			const found = compareWrites(world, compiled, op, flows);
			if (found !== undefined) return { seed: options.seed, history, flow: found[0], message: found[1] };
		} else {
			applyOp(world, op);
			compiled.follow(world);
		}
		for (let f = 0; f < options.flowsPerCase; f++) {
			const flow = maker.flow(world);
			const message = compare(world, compiled, flow);
			if (message === undefined) continue;
			return shrink({ seed: options.seed, history, flow, message });
		}
	}
	return undefined;
}

/** True when the end of a history judges the flow wrongly. */
function stillFails(history: readonly FuzzOp[], flow: PolicyFlow): string | undefined {
	const world = emptyWorld();
	const compiled = new CompiledWorld();
	for (const op of history) {
		applyOp(world, op);
		compiled.follow(world);
	}
	return compare(world, compiled, flow);
}

/** Leaves out what is not needed: operations, then rules and peers inside policies. */
function shrink(failure: FuzzFailure): FuzzFailure {
	let { history, message } = failure;
	const attempt = (candidate: readonly FuzzOp[]): boolean => {
		let found: string | undefined;
		try {
			found = stillFails(candidate, failure.flow);
		} catch {
			return false;
		}
		if (found === undefined) return false;
		history = candidate;
		message = found;
		return true;
	};
	if (!attempt(history)) return failure;
	for (let changed = true; changed; ) {
		changed = false;
		for (let i = history.length - 1; i >= 0; i--) {
			if (attempt(history.filter((_, n) => n !== i))) changed = true;
		}
		for (const [i, op] of history.entries()) {
			for (const raw of smaller(op.raw)) {
				if (!attempt(history.map((each, n) => (n === i ? { ...op, raw } : each)))) continue;
				changed = true;
				break;
			}
		}
	}
	return { ...failure, history, message };
}

/** Values with one list element left out somewhere. */
function* smaller(value: unknown): Iterable<unknown> {
	if (Array.isArray(value)) {
		for (let i = 0; i < value.length; i++) {
			yield value.filter((_, n) => n !== i);
			for (const each of smaller(value[i])) yield value.map((old, n) => (n === i ? each : old));
		}
	} else if (typeof value === 'object' && value !== null) {
		for (const [key, inner] of Object.entries(value))
			for (const each of smaller(inner)) yield { ...value, [key]: each };
	}
}

/** A failure as text that can be replayed. */
export function formatFailure({ seed, history, flow, message }: FuzzFailure): string {
	const ops = history.map((op) => `  ${JSON.stringify(op)}`).join('\n');
	return `seed ${seed}: ${message}\nflow ${JSON.stringify(flow)}\nhistory of ${history.length}:\n${ops}`;
}
