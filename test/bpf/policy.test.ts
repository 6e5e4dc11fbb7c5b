/** policy_verdict() on rows that the reconciler wrote, against the simulator; and what a verdict costs at any number of rules. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PolicyCompiler } from '../../agent/plan/policy/compiler.ts';
import type { Direction } from '../../agent/plan/policy/types.ts';
import { peerWord } from '../../agent/plan/policy/types.ts';
import { PolicyReconciler } from '../../agent/reconcile/policy.ts';
import type { PolicyMapName, PolicySharedName } from '../../agent/reconcile/policy-kernel.ts';
import { extentAt, storedWords } from '../../agent/reconcile/policy-ranges.ts';
import {
	Identity,
	PolicyCookie,
	PolicyKey,
	PolicyRow,
	PolicySet,
	PolicySetFlag,
	PolicyVerdictFlag,
} from '../../native/abi/generated.ts';
import { type BpfMap, BpfObject } from '../../native/index.ts';
import { compileBpf } from '../../scripts/build-bpf.ts';
import { peerCidrs } from '../lib/policy-compiled.ts';
import { applyOp, emptyWorld, judged, Maker, seededRandom } from '../lib/policy-fuzz.ts';
import { FakePolicyKernel } from '../lib/policy-kernel.ts';
import type { PolicyFlow, PolicyWorld } from '../lib/policy-simulator.ts';
import { simulateFlow } from '../lib/policy-simulator.ts';
import { truthTable, usualWorld } from '../lib/policy-world.ts';
import { clusterPolicyCases } from '../policy-cases/cluster-network-policy.ts';
import { furtherCases, networkPolicyCases } from '../policy-cases/network-policy.ts';

const QUESTIONS = 16;
const POLICY_MAPS = { policy: 'fl_policy_1', policyset: 'fl_policyset_1', ranges: 'fl_ranges_1' } as const;

/** Policy maps are the kernel's; the others, which the program does not read, stay fake. */
class HalfRealKernel extends FakePolicyKernel {
	readonly #object: BpfObject;

	constructor(object: BpfObject) {
		super();
		this.#object = object;
	}

	get #policy(): BpfMap {
		return this.#object.map(POLICY_MAPS.policy);
	}

	override mapGet(map: PolicyMapName, key: Uint8Array): Uint8Array | undefined {
		return map === 'policy' ? this.#policy.get(key) : super.mapGet(map, key);
	}

	override mapSet(map: PolicyMapName, key: Uint8Array, value: Uint8Array): void {
		if (map === 'policy') this.#policy.set(key, value);
		else super.mapSet(map, key, value);
	}

	override mapDelete(map: PolicyMapName, key: Uint8Array): boolean {
		return map === 'policy' ? this.#policy.delete(key) : super.mapDelete(map, key);
	}

	override mapEntries(map: PolicyMapName): Iterable<readonly [Uint8Array, Uint8Array]> {
		return map === 'policy' ? this.#policy.entries() : super.mapEntries(map);
	}

	override shared(map: PolicySharedName): DataView {
		return map === 'endpoints' ? super.shared(map) : new DataView(this.#object.map(POLICY_MAPS[map]).mmap());
	}
}

let directory: string;
let object: BpfObject;
beforeAll(async () => {
	directory = await mkdtemp(join(tmpdir(), 'fairlead-policy-'));
	const output = join(directory, 'policy.bpf.o');
	await compileBpf({ source: join(import.meta.dirname, 'policy.bpf.c'), output });
	object = BpfObject.open(output);
	const own: readonly string[] = Object.values(POLICY_MAPS);
	for (const name of object.mapNames) {
		if (!own.includes(name) && !name.startsWith('fl_events')) object.setMaxEntries(name, 1);
	}
	await object.load();
});
afterAll(async () => {
	object?.close();
	await rm(directory, { recursive: true, force: true });
});

interface Question {
	readonly set: number;
	readonly identity: number;
	readonly direction: Direction;
	readonly self: boolean;
	readonly wanted: number;
}

function packet(questions: readonly Question[]): Uint8Array {
	const words = new Uint32Array(QUESTIONS * 4);
	for (const [i, { set, identity, direction, self, wanted }] of questions.entries()) {
		words.set([set, peerWord(identity, direction, self), wanted], i * 4);
	}
	return new Uint8Array(words.buffer);
}

/** Verdict words of at most QUESTIONS questions. */
function ask(questions: readonly Question[]): number[] {
	const { data } = object.program('verdicts').testRun({ data: packet(questions), dataOutSize: QUESTIONS * 16 });
	const words = new Uint32Array(data.slice().buffer);
	return questions.map((_, i) => words[i * 4] ?? 0);
}

const allows = (verdict: number): boolean => (verdict & PolicyVerdictFlag.ALLOW) !== 0;
const cookieOf = (verdict: number): number => verdict >>> PolicyVerdictFlag.SHIFT;

/** What a hook would ask about a flow. */
function questionsOf(kernel: FakePolicyKernel, directions: readonly Direction[], flow: PolicyFlow): Question[] {
	return directions.map((direction) => {
		const [subject, peer] = direction === 'egress' ? [flow.from, flow.to] : [flow.to, flow.from];
		const own = direction === 'ingress' && (peer === '192.168.0.1' || peer === 'fd00:192::1');
		return {
			set: kernel.setOf(subject) ?? 0,
			identity: own ? Identity.HOST : kernel.identityOf(peer),
			direction,
			self: flow.from === flow.to,
			wanted: (flow.proto << 16) | flow.port,
		};
	});
}

describe('policy_verdict', () => {
	it('says what the simulator says, in random worlds and after their changes', () => {
		let asked = 0;
		for (let seed = 1; seed <= 40; seed++) {
			const maker = new Maker(seededRandom(seed));
			const world = emptyWorld();
			for (let n = 0; n < 20; n++) applyOp(world, maker.op());
			const followed = new FollowedWorld();
			for (let n = 0; n < 10; n++) {
				followed.follow(world);
				if (n % 3 === 0) followed.reconciler.reclaim();
				asked += compareSome(followed.kernel, world, maker, seed, followed.compiler);
				applyOp(world, maker.op());
			}
		}
		expect(asked).toBeGreaterThan(2000);
	});

	it.each([...networkPolicyCases, ...furtherCases, ...clusterPolicyCases].map((each) => [each.title, each] as const))(
		'says what the table says: %s',
		(_title, { steps }) => {
			const world = usualWorld();
			const followed = new FollowedWorld();
			for (const [n, { change, truth, flows = [] }] of steps.entries()) {
				change?.(world);
				followed.follow(world);
				const extra = flows.map(({ flow, allowed }) => ({ label: JSON.stringify(flow), flow, allowed }));
				// What a pod sends to its own address does not leave it.
				const leaves = ({ flow }: { flow: PolicyFlow }) => flow.from !== flow.to || flow.viaService === true;
				const probes = [...truthTable(world, truth), ...extra].filter(leaves);
				const allowed = followed.allowed(probes.map(({ flow }) => flow));
				const wrong = probes
					.filter((probe, i) => allowed[i] !== probe.allowed)
					.map(({ label }) => `step ${n}: ${label}`);
				expect(wrong.slice(0, 5)).toEqual([]);
			}
		},
	);

	it('denies when a set has no row, is closed, or a row is another key’s', () => {
		const key = new Uint8Array(new Uint32Array([77]).buffer);
		const sets = object.map(POLICY_MAPS.policyset);
		const none = { base: 0, count: 0 };
		const empty = { pods: [none, none], others: [none, none] };
		const question: Question = { set: 77, identity: 300, direction: 'ingress', self: false, wanted: 80 };
		const denied = [false, PolicyCookie.CLOSED];
		const answer = (q: Question) => ask([q]).map((verdict) => [allows(verdict), cookieOf(verdict)])[0];
		sets.set(key, new Uint8Array(PolicySet.size));
		expect(answer(question)).toEqual(denied);
		expect(answer({ ...question, set: 100_000 })).toEqual(denied);
		sets.set(key, PolicySet.encode({ ...empty, flags: PolicySetFlag.CLOSED | PolicySetFlag.OPEN_INGRESS }));
		expect(answer(question)).toEqual(denied);
		sets.set(key, PolicySet.encode({ ...empty, flags: PolicySetFlag.OPEN_INGRESS }));
		expect(answer(question)).toEqual([true, PolicyCookie.NO_POLICY]);
		expect(answer({ ...question, direction: 'egress' })).toEqual(denied);
		expect(answer({ ...question, identity: Identity.HOST })).toEqual([true, PolicyCookie.HOST]);
		const rowKey = PolicyKey.encode({ set: 77, peer: peerWord(300, 'egress') });
		const other = PolicyRow.encode({ key: { set: 78, peer: peerWord(300, 'egress') }, ranges: { base: 0, count: 1 } });
		object.map(POLICY_MAPS.policy).set(rowKey, other);
		expect(answer({ ...question, direction: 'egress' })).toEqual(denied);
		object.map(POLICY_MAPS.policy).delete(rowKey);
		sets.set(key, new Uint8Array(PolicySet.size));
	});

	it.each([1, 2, 7, 8, 9, 64, 65, 512, 513, 4096, 4097, 8192])('finds each of %i ranges', (count) => {
		const row = Uint32Array.from({ length: count * 2 }, (_, i) =>
			i % 2 === 0 ? (i / 2) * 3 : (((i - 1) / 2) << PolicyVerdictFlag.SHIFT) | 1,
		);
		const base = 4000;
		const extent = extentAt(base, count);
		new Uint32Array(object.map(POLICY_MAPS.ranges).mmap()).set(storedWords(row), base * 2);
		const rows = object.map(POLICY_MAPS.policy);
		const key = { set: 77, peer: peerWord(300, 'ingress') };
		object.map(POLICY_MAPS.policyset).set(new Uint8Array(new Uint32Array([77]).buffer), openEgress());
		rows.set(PolicyKey.encode(key), PolicyRow.encode({ key, ranges: extent }));
		const wrong: number[] = [];
		// Of many, every port near the edges of lines.
		for (let at = 0; at < count * 3 + 20; at += count > 600 && at % 192 === 0 ? 96 : QUESTIONS) {
			const wanted = Array.from({ length: QUESTIONS }, (_, i) => at + i);
			const questions = wanted.map(
				(each): Question => ({ set: 77, identity: 300, direction: 'ingress', self: false, wanted: each }),
			);
			const got = ask(questions).map(cookieOf);
			wrong.push(...wanted.filter((each, i) => got[i] !== Math.min(count - 1, Math.floor(each / 3))));
		}
		expect(wrong).toEqual([]);
		// As it would be without its levels, and with more ranges than there can be.
		for (const word of count > 8 ? [count, 8193 + 4 * 2 ** 24] : [8193]) {
			rows.set(PolicyKey.encode(key), PolicyRow.encode({ key, ranges: { base, count: word } }));
			const question: Question = { set: 77, identity: 300, direction: 'ingress', self: false, wanted: 5 };
			expect(ask([question]).map((verdict) => [allows(verdict), cookieOf(verdict)])).toEqual([
				[false, PolicyCookie.CLOSED],
			]);
		}
		rows.delete(PolicyKey.encode(key));
	});
});

/** A set whose rows alone say what is let in. */
function openEgress(): Uint8Array {
	const none = { base: 0, count: 0 };
	return PolicySet.encode({ pods: [none, none], others: [none, none], flags: PolicySetFlag.OPEN_EGRESS });
}

/** The rows of a world that changes, written by the reconciler into emptied maps. */
class FollowedWorld {
	readonly kernel = new HalfRealKernel(object);
	readonly compiler = new PolicyCompiler({ nodeName: 'node-1' });
	readonly reconciler = new PolicyReconciler({ kernel: this.kernel, compiler: this.compiler, refs: this.kernel });
	#before: PolicyWorld | undefined;

	constructor() {
		for (const [key] of this.kernel.mapEntries('policy')) this.kernel.mapDelete('policy', key);
		new Uint8Array(this.kernel.shared('policyset').buffer).fill(0);
	}

	follow(world: PolicyWorld): void {
		const { namespaces, pods, nodes, networkPolicies, clusterNetworkPolicies } = world;
		const now = { namespaces, pods, nodes, networkPolicies, clusterNetworkPolicies };
		const changed = this.#before === undefined ? now : withDeletions(this.#before, now);
		const cidrs = this.#before === undefined ? { peerCidrs: peerCidrs(world.clusterCidrs) } : {};
		expect(this.reconciler.update({ ...changed, ...cidrs }).problems).toEqual([]);
		this.kernel.followPods(world, this.compiler);
		this.kernel.followNodes(world, this.compiler);
		this.#before = snapshot(world);
	}

	/** What the program says of flows, both directions together. */
	allowed(flows: readonly PolicyFlow[]): boolean[] {
		const questions = flows.flatMap((flow) => questionsOf(this.kernel, ['egress', 'ingress'], flow));
		const verdicts: number[] = [];
		for (let at = 0; at < questions.length; at += QUESTIONS) verdicts.push(...ask(questions.slice(at, at + QUESTIONS)));
		return flows.map((_, i) => allows(verdicts[2 * i] ?? 0) && allows(verdicts[2 * i + 1] ?? 0));
	}
}

function snapshot(world: PolicyWorld): PolicyWorld {
	return {
		...world,
		namespaces: new Map(world.namespaces),
		pods: new Map(world.pods),
		nodes: new Map(world.nodes),
		networkPolicies: new Map(world.networkPolicies),
		clusterNetworkPolicies: new Map(world.clusterNetworkPolicies),
	};
}

const KINDS = ['namespaces', 'pods', 'nodes', 'networkPolicies', 'clusterNetworkPolicies'] as const;

/** Everything of now, with null for what is gone. */
function withDeletions(before: PolicyWorld, now: Pick<PolicyWorld, (typeof KINDS)[number]>) {
	return Object.fromEntries(
		KINDS.map((kind) => {
			const entries = new Map<string, unknown>(now[kind]);
			for (const key of before[kind].keys()) if (!now[kind].has(key)) entries.set(key, null);
			for (const [key, value] of now[kind]) if (before[kind].get(key) === value) entries.delete(key);
			return [kind, entries];
		}),
	);
}

/** @returns how many verdicts were compared */
function compareSome(
	kernel: FakePolicyKernel,
	world: PolicyWorld & Parameters<typeof judged>[0],
	maker: Maker,
	seed: number,
	compiler: PolicyCompiler,
): number {
	let asked = 0;
	for (let n = 0; n < 10; n++) {
		const flow = maker.flow(world);
		if (flow.from === flow.to && flow.viaService !== true) continue;
		const directions = judged(world, flow);
		const expected = simulateFlow(world, flow);
		const verdicts = ask(questionsOf(kernel, directions, flow));
		for (const [i, direction] of directions.entries()) {
			const { allowed, by, audited = false } = expected[direction];
			const word = verdicts[i] ?? 0;
			const reason = compiler.cookies.name(cookieOf(word)) ?? '';
			const fits = by.includes(reason) || by.includes('self') || by.includes('own node');
			const audit = (word & PolicyVerdictFlag.AUDIT) !== 0;
			const got = { allowed: allows(word), audited: audit, fits };
			expect([seed, direction, flow, got]).toEqual([seed, direction, flow, { allowed, audited, fits: true }]);
			asked++;
		}
	}
	return asked;
}
