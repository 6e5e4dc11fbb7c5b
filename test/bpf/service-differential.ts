/** One probe as a packet through the real programs, and what is wrong with what they made of it. */
import type { MapName } from '../../agent/reconcile/kernel.ts';
import { DropReason, DropReasonName } from '../../native/abi/generated.ts';
import { explain, type RunResult, VERDICT } from '../lib/dataplane.ts';
import type { FakeKernel } from '../lib/fake-kernel.ts';
import { backendTag } from '../lib/flow-hash.ts';
import type { Layer } from '../lib/packet.ts';
import { echo, ip, type Parsed, parse, raw, sctp, tcp, udp } from '../lib/packet.ts';
import type { Answer, DropWhy, Outcome, Probe } from '../lib/service-oracle-probe.ts';
import { EMPTY_WORLD } from '../service-cases/geography.ts';
import { KernelSync } from '../service-cases/kernel-sync.ts';
import { smallKernel, WorldPlanner } from '../service-cases/plan-world.ts';
import { ipOf, POD_A, POD_B, podFrame, type TestNode, uplinkFrame } from './world.ts';

/** Ports at the node's address for masquerading. */
export const SNAT_PORTS = { min: 61_000, max: 64_000 } as const;

/** What plans worlds, and brings the plans into the maps of real programs. */
export interface Planned {
	readonly kernel: FakeKernel;
	readonly planner: WorldPlanner;
	readonly sync: KernelSync;
}

/** Prepares the maps of a node without services. @param sizes  of maps that are larger than usual @param absent  see KernelSync */
export async function planFor(
	node: TestNode,
	sizes: Partial<Record<MapName, number>> = {},
	absent: readonly string[] = [],
): Promise<Planned> {
	for (const map of ['ipcache', 'cidrs', 'ifaces']) await node.dataplane.clear(map);
	const devices = await node.dataplane.devices();
	const ifindex = (name: string): number => devices[name] ?? 0;
	const kernel = smallKernel(sizes);
	const planner = new WorldPlanner(EMPTY_WORLD, kernel, {
		uplink: ifindex('uplink'),
		overlay: ifindex('overlay'),
		pods: [ifindex('podA'), ifindex('podB')],
	});
	return { kernel, planner, sync: new KernelSync(kernel, node.dataplane, absent) };
}

const REASONS: Readonly<Record<Exclude<DropWhy, 'unassigned address'>, number>> = {
	'no local endpoint': DropReason.NO_LOCAL_BACKEND,
	'source not allowed': DropReason.SOURCE_RANGE,
	'spoofed source': DropReason.SPOOFED_LOCAL,
};

/** First packet of a connection, or one in its midst. */
export type Moment = 'first' | 'later';

function layersOf({ client, address, port, protocol }: Probe, sport: number, moment: Moment): Layer[] {
	const header = ip(client.address, address);
	switch (protocol) {
		case 'TCP':
			return [header, tcp({ sport, dport: port, flags: moment === 'first' ? 'S' : 'A' })];
		case 'UDP':
			return [header, udp({ sport, dport: port })];
		case 'SCTP':
			// INIT or DATA
			return [header, sctp({ sport, dport: port }), raw(Uint8Array.of(moment === 'first' ? 1 : 0, 0, 0, 4))];
		default:
			return [header, echo(protocol === 'ICMP' ? 4 : 6, { id: sport, seq: 1 })];
	}
}

/** The first packet of a connection from outside. */
export function outsideFrame(probe: Probe, sport: number): Uint8Array {
	return uplinkFrame(...layersOf(probe, sport, 'first'));
}

/** Sends a packet of the connection where it comes in. */
export async function send(
	node: TestNode,
	probe: Probe,
	sport: number,
	moment: Moment = 'first',
): Promise<{ sent: Uint8Array; got: RunResult }> {
	const layers = layersOf(probe, sport, moment);
	switch (probe.client.kind) {
		case 'pod': {
			const pod =
				[POD_A, POD_B].find(({ ipv4, ipv6 }) => [ipv4, ipv6].includes(probe.client.address as never)) ?? POD_A;
			const sent = podFrame(pod, ...layers);
			return { sent, got: await node.fromPod(pod, sent) };
		}
		case 'node': {
			const sent = uplinkFrame(...layers);
			return { sent, got: await node.fromHost(sent) };
		}
		case 'outside': {
			const sent = uplinkFrame(...layers);
			return { sent, got: await node.fromUplink(sent) };
		}
	}
}

/** @returns undefined when the programs did what the outcome says, else why not */
export function judge(
	probe: Probe,
	sport: number,
	outcome: Outcome,
	sent: Uint8Array,
	got: RunResult,
): string | undefined {
	const fault = judgeOutcome(probe, sport, outcome, got);
	return fault === undefined ? undefined : `${fault}\n${explain(sent, got)}`;
}

function judgeOutcome(probe: Probe, sport: number, outcome: Outcome, got: RunResult): string | undefined {
	switch (outcome.kind) {
		case 'answered':
			return judgeAnswer(probe, sport, outcome.answers, got);
		case 'rejected':
			return judgeRejection(
				probe,
				outcome.why === 'no endpoint' ? DropReason.NO_BACKEND : DropReason.UNDEFINED_PORT,
				got,
			);
		case 'dropped':
			if (outcome.why !== 'unassigned address') return judgeDrop(REASONS[outcome.why], got);
			// From outside: the stack routes it into the host device, where nobody has it either.
			return probe.client.kind === 'outside' ? judgeUntouched(probe, got) : judgeDrop(DropReason.NO_ROUTE, got);
		case 'not a service':
			return judgeUntouched(probe, got);
	}
}

function dropsText(got: RunResult): string {
	return Object.keys(got.drops)
		.map((reason) => DropReasonName(Number(reason)))
		.join(', ');
}

function judgeDrop(reason: number, got: RunResult): string | undefined {
	const good = got.verdict === VERDICT.DROP && Object.keys(got.drops).join() === String(reason);
	return good ? undefined : `is not dropped for ${DropReasonName(reason)}: verdict ${got.verdict}, ${dropsText(got)}`;
}

/** Translated by nobody; masqueraded it may be. */
function judgeUntouched(probe: Probe, got: RunResult): string | undefined {
	if (got.verdict === VERDICT.DROP) return `is dropped for ${dropsText(got)}`;
	const { dst } = ipOf(got.packet);
	return dst === probe.address ? undefined : `is translated to ${dst}`;
}

function judgeRejection(probe: Probe, reason: number, got: RunResult): string | undefined {
	if (got.verdict !== VERDICT.REDIRECT) return `is not answered: verdict ${got.verdict}, ${dropsText(got)}`;
	if (Object.keys(got.drops).join() !== String(reason)) return `is counted for ${dropsText(got)}`;
	const parsed = parse(got.packet);
	if (parsed.problems.length > 0) return `is answered wrongly: ${parsed.problems.join('; ')}`;
	const { src, dst } = ipOf(got.packet);
	if (src !== probe.address || dst !== probe.client.address) return `is answered by ${src} to ${dst}`;
	const kinds = parsed.layers.map(({ kind }) => kind);
	const wanted = probe.protocol === 'TCP' ? 'tcp' : probe.address.includes(':') ? 'icmpv6' : 'icmp';
	if (!kinds.includes(wanted)) return `is answered with ${kinds.join(' ')}`;
	return isRejection(parsed) ? undefined : 'is answered, but not with a rejection';
}

function isRejection(parsed: Parsed): boolean {
	return parsed.layers.some((layer) => {
		if (layer.kind === 'tcp') return layer.flags.includes('R');
		if (layer.kind === 'icmp') return layer.type === 3 && layer.code === 3;
		return layer.kind === 'icmpv6' && layer.type === 1 && layer.code === 4;
	});
}

interface Ports {
	readonly sport: number;
	readonly dport: number;
}

function portsOf(parsed: Parsed): Ports | undefined {
	// The innermost ones: what goes through a tunnel has others before.
	return parsed.layers.findLast((l) => l.kind === 'tcp' || l.kind === 'udp' || l.kind === 'sctp') as Ports | undefined;
}

/** 'address port' that the packet goes to; '' = it was dropped or answered. */
export function destinationOf(got: RunResult): string {
	if (got.verdict === VERDICT.DROP || Object.keys(got.drops).length > 0) return '';
	return `${ipOf(got.packet).dst} ${portsOf(parse(got.packet))?.dport}`;
}

function judgeAnswer(probe: Probe, sport: number, answers: readonly Answer[], got: RunResult): string | undefined {
	const nowhere = answers.some(({ place }) => place === 'nowhere');
	if (got.verdict === VERDICT.DROP && nowhere) return judgeDrop(DropReason.NO_ROUTE, got);
	if (got.verdict === VERDICT.DROP) return `is dropped for ${dropsText(got)}`;
	if (Object.keys(got.drops).length > 0) return `is counted as dropped for ${dropsText(got)}`;
	const parsed = parse(got.packet);
	if (parsed.problems.length > 0) return `is forwarded with ${parsed.problems.join('; ')}`;
	const { src, dst } = ipOf(got.packet);
	const ports = portsOf(parsed);
	const [only] = answers;
	if (only?.envelopeTo !== undefined) return judgeEnvelope(probe, sport, only, parsed);
	const answer = answers.find(({ address, port }) => address === dst && port === ports?.dport);
	if (answer === undefined || answer.place === 'nowhere') return `goes to ${dst} port ${ports?.dport}`;
	if (src !== answer.source) return `goes to ${dst} as ${src} instead of ${answer.source}`;
	if (src === probe.client.address && probe.client.kind !== 'node' && ports?.sport !== sport) {
		return `keeps its address but not its port: ${ports?.sport}`;
	}
	const toStack = answer.place === 'this node' || answer.place === 'outside';
	if (got.verdict !== VERDICT.REDIRECT && !(toStack && got.verdict === VERDICT.NEXT)) {
		return `goes to ${dst} with verdict ${got.verdict}`;
	}
	return undefined;
}

/** The client's own packet for a pod of another node, with the mark of that pod on the outside. */
function judgeEnvelope(probe: Probe, sport: number, answer: Answer, parsed: Parsed): string | undefined {
	const headers = parsed.layers.filter((layer) => layer.kind === 'ipv4' || layer.kind === 'ipv6');
	const [outer, inner] = headers;
	const ports = portsOf(parsed);
	if (outer?.kind !== 'ipv4' || inner === undefined || headers.length !== 2) {
		return `is in no envelope: ${parsed.layers.map(({ kind }) => kind).join(' ')}`;
	}
	if (outer.dst !== answer.envelopeTo) return `is in an envelope to ${outer.dst}`;
	if (outer.id !== backendTag(answer.address, answer.port)) return `is marked as for another backend: ${outer.id}`;
	const asSent =
		inner.src === probe.client.address &&
		inner.dst === probe.address &&
		ports?.sport === sport &&
		ports.dport === probe.port;
	return asSent ? undefined : `is translated to ${inner.src} → ${inner.dst} ${ports?.sport} → ${ports?.dport}`;
}
