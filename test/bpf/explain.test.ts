/** The program that explains flows says what the other programs then do with a packet, and leaves no trace. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
	AffinityEntry,
	DropReason,
	DropReasonName,
	ExplainFlag,
	ExplainFlow,
	ExplainStage,
	Hook,
	JudgedSide,
	SvcFlags,
} from '../../native/abi/generated.ts';
import { PEER, type ServiceFixture } from '../lib/dataplane.ts';
import type { Layer } from '../lib/packet.ts';
import { address16, addressText, ip, tcp, udp } from '../lib/packet.ts';
import { COOKIE, Policies, type Rule, SET, type SetRules } from './policy-world.ts';
import type { Addresses } from './world.ts';
import { FAMILIES, NODE_PORT, POD_A, PROTO, podFrame, SERVICE, TestNode, uplinkFrame, V4, V6, WORLD } from './world.ts';

let node: TestNode;
let policies: Policies;
beforeAll(async () => {
	node = await TestNode.start({ ...WORLD, services: [...WORLD.services, ...moreServices(V4), ...moreServices(V6)] }, [
		'pod',
		'node',
		'overlay',
		'host',
		'explain',
	]);
	policies = new Policies(node);
	await policies.start();
});
afterAll(() => node?.close());
/** Ports at the services' addresses, beyond those of the world. */
const [STICKY, RESTRICTED] = [87, 88];

function moreServices(x: Addresses): ServiceFixture[] {
	const backends = [
		{ address: x.b, port: 8080, local: true },
		{ address: x.pod2, port: 8080 },
	];
	return [
		{ address: x.vip, port: STICKY, proto: PROTO.TCP, backends, flags: SvcFlags.AFFINITY, affinityTimeoutS: 60 },
		{ address: x.external, port: RESTRICTED, proto: PROTO.TCP, backends, external: true, sourceSet: 5 },
	];
}

beforeEach(async () => {
	await node.reset();
	await policies.reset();
	await node.dataplane.events();
});

interface Question {
	readonly src: string;
	readonly dst: string;
	readonly dport: number;
	readonly hook: number;
	readonly proto?: number;
	readonly flags?: number;
}

const SPORT = 40_000;
const ETHERNET = 14;

async function ask(question: Question): Promise<ExplainFlow> {
	const empty = ExplainFlow.decode(new Uint8Array(ExplainFlow.size));
	const { src, dst, dport, hook, proto = PROTO.TCP, flags = 0 } = question;
	const family = src.includes(':') ? 6 : 4;
	const asked = { ...empty, src: address16(src), dst: address16(dst), sport: SPORT, dport, proto, family, hook, flags };
	const packet = new Uint8Array(ETHERNET + ExplainFlow.size);
	packet.set(ExplainFlow.encode(asked), ETHERNET);
	const { packet: answer } = await node.dataplane.run('explain', packet);
	return ExplainFlow.decode(answer, ETHERNET);
}

function layerOf(proto: number, dport: number): Layer {
	return proto === PROTO.UDP ? udp({ sport: SPORT, dport }) : tcp({ sport: SPORT, dport, flags: 'S' });
}

/** What the hook's own program does with the first packet. @returns why it is dropped, or '' */
async function tryIt({ src, dst, dport, hook, proto = PROTO.TCP }: Question): Promise<string> {
	const layer = layerOf(proto, dport);
	const packet = ip(src, dst);
	const got =
		hook === Hook.FROM_POD
			? await node.fromPod(POD_A, podFrame(POD_A, packet, layer))
			: await node.fromUplink(uplinkFrame(packet, layer));
	await node.reset();
	return Object.keys(got.drops)
		.map((reason) => DropReasonName(Number(reason)))
		.join();
}

async function explained(question: Question): Promise<string> {
	const { reason, stage } = await ask(question);
	expect(stage).not.toBe(ExplainStage.NONE);
	return reason === DropReason.NONE ? '' : DropReasonName(reason);
}

const RULES: readonly [SetRules, SetRules][] = [
	[{}, {}],
	[{ egress: 'nothing' }, {}],
	[{ egress: 'tcp8080', othersEgress: 'all' }, { ingress: 'tcp8080' }],
	[{ egress: 'all', othersEgress: 'nothing' }, { ingress: 'nothing' }],
	[{ egress: 'audited' }, { ingress: 'audited' }],
	[{ closed: true, egress: 'all' }, {}],
];

function questions(x: Addresses): Question[] {
	const { a, b, notReady, node: own, vip, node2, pod2, pod3, nobody, gone, world, native } = x;
	const from = { src: a, hook: Hook.FROM_POD };
	const direct = [b, notReady, own, node2, pod2, pod3, nobody, gone, world, native].flatMap((dst) =>
		[8080, 9090].map((dport) => ({ ...from, dst, dport })),
	);
	const services = Object.values(SERVICE).map((dport) => ({ ...from, dst: vip, dport }));
	const udpServices = [SERVICE.dns, SERVICE.emptyUdp, SERVICE.vxlan].map((dport) => ({
		...{ ...from, dst: vip, dport, proto: PROTO.UDP },
	}));
	const outside = [world, pod3, a, own].flatMap((src) => [
		{ src, dst: b, dport: 8080, hook: Hook.FROM_UPLINK },
		...Object.values(NODE_PORT).map((dport) => ({ src, dst: own, dport, hook: Hook.FROM_UPLINK })),
		{ src, dst: x.external, dport: RESTRICTED, hook: Hook.FROM_UPLINK },
	]);
	return [...direct, ...services, ...udpServices, ...outside];
}

describe.each(FAMILIES)('explain, IPv$family', (x) => {
	it('says why a flow is dropped, or that it is not, as the programs then do', async () => {
		let dropped = 0;
		for (const [a, b] of RULES) {
			await policies.set('a', a);
			await policies.set('b', b);
			for (const question of questions(x)) {
				const [said, done] = [await explained(question), await tryIt(question)];
				expect([a, b, question, said]).toEqual([a, b, question, done]);
				dropped += done === '' ? 0 : 1;
			}
		}
		expect(dropped).toBeGreaterThan(50);
	});

	it('names the ends, their sets and identities, and the rules of both sides', async () => {
		await policies.set('a', { egress: 'all' });
		await policies.set('b', { ingress: 'nothing' });
		const answer = await ask({ src: x.a, dst: x.vip, dport: SERVICE.web, hook: Hook.FROM_POD });
		expect(answer).toMatchObject({
			stage: ExplainStage.POLICY,
			reason: DropReason.POLICY,
			denied: JudgedSide.INGRESS,
			flags: ExplainFlag.SERVICE,
			backendPort: 8080,
			peer: [{ kind: PEER.LOCAL_POD }, { kind: PEER.LOCAL_POD }],
			policySet: [SET.a, SET.b],
			rule: [COOKIE.all, COOKIE.nothing],
			identity: [257, 258],
		});
		expect(addressText(answer.backendAddr)).toBe(x.b);
	});

	it('judges a backend that is named, also when it is the client itself', async () => {
		await policies.row('a', 'egress', 257, 'nothing', true);
		await policies.set('a', { egress: 'all' });
		const backend = { src: x.a, dst: x.a, dport: 8080, hook: Hook.FROM_POD, flags: ExplainFlag.BACKEND };
		expect(await ask(backend)).toMatchObject({ reason: DropReason.POLICY, denied: JudgedSide.EGRESS });
		expect(await explained({ ...backend, dst: x.b })).toBe('');
	});

	it('knows that the own node may reach its pods', async () => {
		await policies.set('b', { ingress: 'nothing' });
		expect(await explained({ src: x.node, dst: x.b, dport: 8080, hook: Hook.TO_POD })).toBe('');
		expect(await explained({ src: x.world, dst: x.b, dport: 8080, hook: Hook.TO_POD })).toBe('POLICY');
	});

	it('remembers no client of a sticky service, and knows those that were remembered', async () => {
		await node.dataplane.clear('affinity');
		const question = { src: x.a, dst: x.vip, dport: STICKY, hook: Hook.FROM_POD };
		expect(await explained(question)).toBe('');
		expect(await node.dataplane.entries('affinity')).toEqual([]);
		await node.fromPod(POD_A, podFrame(POD_A, ip(x.a, x.vip), layerOf(PROTO.TCP, STICKY)));
		const [entry] = await node.dataplane.entries('affinity');
		const { backend } = AffinityEntry.decode(entry!.value);
		for (let i = 0; i < 8; i++) expect((await ask(question)).backend).toBe(backend);
		expect(await node.dataplane.entries('affinity')).toEqual([entry]);
		await node.dataplane.clear('affinity');
	});

	it('leaves no trace: no flow, no event, no count', async () => {
		const rules: readonly Rule[] = ['nothing', 'audited'];
		const before = await policies.denied('audited');
		for (const rule of rules) {
			await policies.set('a', { egress: rule });
			await ask({ src: x.a, dst: x.vip, dport: SERVICE.web, hook: Hook.FROM_POD });
			await ask({ src: x.a, dst: x.world, dport: 443, hook: Hook.FROM_POD });
		}
		expect(await policies.denied('audited')).toBe(before);
		expect(await node.flows()).toEqual([]);
		expect(await node.dataplane.events()).toEqual([]);
	});
});
