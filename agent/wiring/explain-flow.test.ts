import { describe, expect, it } from 'vitest';
import {
	DropReason,
	ExplainFlag,
	ExplainFlow,
	ExplainStage,
	Hook,
	JudgedSide,
	PeerKind,
} from '../../native/abi/generated.ts';
import type { BpfProgram } from '../../native/index.ts';
import { CompiledWorld } from '../../test/lib/policy-compiled.ts';
import { setNetworkPolicy, usualWorld } from '../../test/lib/policy-world.ts';
import type { ExplainRequest, ServiceReport } from '../api/state.ts';
import { addressBytes, addressOfBytes } from '../model/address.ts';
import type { ClusterView } from '../model/cluster-view.ts';
import type { NodeFacts } from '../model/node-facts.ts';
import { RuleNames } from '../plan/policy/rule-names.ts';
import { explainFlow } from './explain-flow.ts';

const VIP = '10.96.0.1';
/** Pods of the usual world: x/a is local and isolated, z/c is on another node. */
const [LOCAL, DENIED, REMOTE] = ['10.244.2.1', '10.244.1.1', '10.244.3.3'];

interface Seen {
	readonly from: string;
	readonly to: string;
	readonly hook: number;
	readonly flags: number;
}

function setup(backends: readonly string[]) {
	const world = usualWorld();
	const far = world.pods.get('z/c')!;
	world.pods.set('z/c', { ...far, node: 'node-2' });
	setNetworkPolicy(world, 'x/p', { podSelector: {}, policyTypes: ['Ingress'] });
	const compiled = new CompiledWorld();
	compiled.follow(world);
	const isolated = compiled.compiler.setOf('x/a')!.programs.ingress.isolation.all.cookie;
	const seen: Seen[] = [];
	let closed = 0;
	/** Denies what goes to x/a; the service chooses its first backend. */
	const answer = (flow: ExplainFlow): ExplainFlow => {
		const [from, to] = [addressOfBytes(flow.src), addressOfBytes(flow.dst)];
		seen.push({ from, to, hook: flow.hook, flags: flow.flags });
		const chosen = to === VIP ? backends[0] : undefined;
		if (to === VIP && chosen === undefined) {
			return { ...flow, stage: ExplainStage.SERVICE, reason: DropReason.NO_BACKEND };
		}
		const target = chosen ?? to;
		const denied = target === DENIED;
		const peer = (kind: number) => ({ index: 1, gen: 1, kind });
		return {
			...flow,
			...(chosen !== undefined && { flags: ExplainFlag.SERVICE, svcId: 7, backendAddr: addressBytes(chosen) }),
			peer: [peer(PeerKind.LOCAL_POD), peer(target === REMOTE ? PeerKind.REMOTE_POD : PeerKind.LOCAL_POD)],
			...(denied
				? {
						...{ stage: ExplainStage.POLICY, reason: DropReason.POLICY, denied: JudgedSide.INGRESS },
						rule: [0, isolated],
					}
				: { stage: ExplainStage.FORWARDED }),
		};
	};
	const program = {
		testRun: ({ data }: { data: Uint8Array }) => {
			const out = Uint8Array.from(data);
			out.set(ExplainFlow.encode(answer(ExplainFlow.decode(data, 14))), 14);
			return { retval: 0, data: out, ctx: new Uint8Array(), durationNs: 0 };
		},
	} as unknown as BpfProgram;
	const frontend = { id: 7, address: VIP, port: 80, protocol: 'tcp', portName: '', scope: 'cluster' };
	const services = [
		{
			namespace: 'x',
			name: 'web',
			frontends: [
				{ ...frontend, backends: backends.map((address) => ({ address, port: 8080, pod: '', namespace: '' })) },
			],
		},
	] as unknown as readonly ServiceReport[];
	const service = { clusterIps: [VIP], externalIps: [], loadBalancerIps: [] };
	const explain = (request: Partial<ExplainRequest>) =>
		explainFlow(
			{ source: LOCAL, destination: VIP, port: 80, protocol: '', sourcePort: 0, ipVersion: 0, ...request },
			{
				view: { ...world, services: new Map([['x/web', service]]) } as unknown as ClusterView,
				facts: { name: 'node-1', addresses: ['192.168.0.1'], localAddresses: ['192.168.0.1'] } as unknown as NodeFacts,
				compiler: compiled.compiler,
				rules: new RuleNames(() => compiled.compiler),
				localAddresses: new Set([LOCAL, DENIED]),
				services,
				load: async () => ({ program, close: () => void closed++ }),
			},
		);
	return { explain, seen, closed: () => closed };
}

describe('explainFlow', () => {
	it('asks about every backend of a service, and says that it depends when some are not reached', async () => {
		const { explain, seen, closed } = setup([REMOTE, DENIED]);
		const { verdict, reason, steps } = await explain({ destination: 'service/x/web' });
		expect({ verdict, reason }).toEqual({ verdict: 'partly', reason: DropReason.POLICY });
		expect(steps.filter(({ about }) => about === 'backend').map(({ outcome, text }) => `${outcome} ${text}`)).toEqual([
			`ok ${REMOTE} port 8080: reached`,
			`drop ${DENIED} port 8080: not reached`,
		]);
		expect(steps.at(-1)?.text).toBe('denied: no policy allows it (isolated by NetworkPolicy x/p)');
		expect(seen.map(({ to, flags }) => [to, flags])).toEqual([
			[VIP, 0],
			[REMOTE, ExplainFlag.BACKEND],
			[DENIED, ExplainFlag.BACKEND],
		]);
		expect(closed()).toBe(1);
	});

	it('says that a flow is dropped when no backend is reached, or there is none', async () => {
		expect(await setup([DENIED]).explain({})).toMatchObject({ verdict: 'dropped', reason: DropReason.POLICY });
		const none = await setup([]).explain({});
		expect(none).toMatchObject({ verdict: 'dropped', reason: DropReason.NO_BACKEND });
		expect(none.steps.at(-1)?.text).toMatch(/^service x\/web: /);
	});

	it.each([
		['a pod of this node', 'y/a', 'x/b', Hook.FROM_POD],
		['this node', 'host', 'y/a', Hook.TO_POD],
		['this node, to a service', 'host', 'service/x/web', Hook.FROM_HOST_DEVICE],
		['a pod elsewhere', 'z/c', 'x/a', Hook.FROM_UPLINK],
		['outside', '203.0.113.9', '192.168.0.1', Hook.FROM_UPLINK],
	])('asks as the program that meets a packet of %s', async (_what, source, destination, hook) => {
		const { explain, seen } = setup([REMOTE]);
		await explain({ source, destination });
		expect(seen[0]?.hook).toBe(hook);
	});

	it('knows records of the flow in both directions, before and after translation', async () => {
		const { concerns } = await setup([REMOTE]).explain({});
		const end = (address: string, port: number) => ({ address, port });
		const flow = (source: object, destination: object, original?: object, protocol = 6) =>
			concerns({ source, destination, originalDestination: original, protocol } as never);
		expect(flow(end(LOCAL, 4000), end(VIP, 80))).toBe(true);
		expect(flow(end(LOCAL, 4000), end(REMOTE, 8080), end(VIP, 80))).toBe(true);
		expect(flow(end(REMOTE, 8080), end(LOCAL, 4000))).toBe(true);
		expect(flow(end(LOCAL, 4000), end(VIP, 81))).toBe(false);
		expect(flow(end(LOCAL, 4000), end(VIP, 80), undefined, 17)).toBe(false);
		expect(flow(end('10.9.9.9', 4000), end(VIP, 80))).toBe(false);
	});

	it('closes the program when the question is wrong', async () => {
		await expect(setup([]).explain({ protocol: 'nonsense' })).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
		await expect(setup([]).explain({ destination: 'fd00::1' })).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
	});
});
