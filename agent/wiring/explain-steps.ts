/**
 * Answers of the program that explains flows → what people read: the chain of reasons, in the order in which a packet meets
 * them. Pure.
 */
import { EndpointFlags, ExplainFlag, ExplainStage, JudgedSide, PeerKind } from '../../native/abi/generated.ts';
import type { ExplanationStep } from '../api/state.ts';
import { dropText } from '../flows/drop-reasons.ts';
import type { FlowAnswer } from '../kernel/explainer.ts';
import type { Address } from '../model/address.ts';
import type { RuleVerdict } from '../model/policy-rule.ts';

export interface StepContext {
	readonly source: string;
	readonly destination: string;
	readonly nodeName: string;
	/** Node of a pod elsewhere, by its address; '' = not known. */
	readonly nodeAt: (address: Address) => string;
	readonly rule: (cookie: number, direction: 'egress' | 'ingress', subject: Address) => RuleVerdict;
}

/** One question that was asked, with its answer. */
export interface Asked {
	readonly from: Address;
	/** After service translation, if the service was resolved. */
	readonly to: Address;
	readonly answer: FlowAnswer;
}

const SIDES = {
	egress: { index: 0, bit: JudgedSide.EGRESS },
	ingress: { index: 1, bit: JudgedSide.INGRESS },
} as const;

const KINDS: Readonly<Record<number, string>> = {
	[PeerKind.UNKNOWN]: 'a cluster address that nobody is known to have',
	[PeerKind.HOST]: 'this node',
	[PeerKind.REMOTE_NODE]: 'another node',
	[PeerKind.WORLD]: 'outside the cluster',
	[PeerKind.NATIVE]: 'outside the cluster, never masqueraded',
};

/** Why the flow is refused at this stage, or that it is not. */
function refusal({ answer }: Asked, stage: number, good: string): Pick<ExplanationStep, 'outcome' | 'text'> {
	if (answer.reason === 0 || answer.stage !== stage) return { outcome: 'ok', text: good };
	return { outcome: 'drop', text: `${good}: ${dropText(answer.reason).text}` };
}

export function sourceStep(asked: Asked, context: StepContext): ExplanationStep {
	const { source } = context;
	return { about: 'source', ...refusal(asked, ExplainStage.SENDER, describeEnd(asked, 0, source, context)) };
}

/** @param name  of the service, if it has such a port. @param backends  how many it has. @returns undefined = no service is involved */
export function serviceStep(
	{ answer }: Asked,
	name: string | undefined,
	backends: number,
	{ destination }: StepContext,
): ExplanationStep | undefined {
	if (answer.reason !== 0 && answer.stage === ExplainStage.SERVICE) {
		return { about: 'service', outcome: 'drop', text: `${name ?? destination}: ${dropText(answer.reason).text}` };
	}
	if ((answer.flags & ExplainFlag.SERVICE) === 0) return undefined;
	const many = backends === 1 ? '1 backend' : `${backends} backends`;
	return { about: 'service', outcome: 'ok', text: `${name ?? 'a service'} with ${many}` };
}

/** From the choice of the destination on. */
export function restSteps(asked: Asked, context: StepContext): ExplanationStep[] {
	const { answer } = asked;
	if (answer.stage < ExplainStage.DESTINATION) return [];
	const described = describeEnd(asked, 1, context.destination, context);
	const destination = { about: 'destination', ...refusal(asked, ExplainStage.DESTINATION, described) } as const;
	if (answer.stage === ExplainStage.DESTINATION) return [destination];
	if (answer.stage === ExplainStage.NOT_OURS) {
		return [destination, { about: 'delivery', outcome: 'info', text: 'left to the stack of this node' }];
	}
	const steps = [sideStep(asked, 'egress', context), destination, sideStep(asked, 'ingress', context)];
	if (answer.denied !== 0) return steps;
	const delivered = refusal(asked, ExplainStage.DELIVERY, deliveryText(asked, context));
	return [...steps, { about: 'delivery', ...delivered }];
}

function deliveryText({ to, answer }: Asked, { nodeAt }: StepContext): string {
	switch (answer.peer[1]?.kind) {
		case PeerKind.LOCAL_POD:
			return 'to the pod';
		case PeerKind.REMOTE_POD:
			return `to node ${nodeAt(to) || 'of the pod'}`;
		case PeerKind.HOST:
			return 'to the processes of this node';
		default:
			return 'out of this node';
	}
}

function describeEnd({ from, to, answer }: Asked, side: 0 | 1, name: string, { nodeAt }: StepContext): string {
	const kind = answer.peer[side]?.kind ?? PeerKind.UNKNOWN;
	const address = side === 0 ? from : to;
	if (kind === PeerKind.LOCAL_POD) {
		const set = answer.policySet[side] ?? 0;
		const isolated = (answer.endpointFlags[side] ?? 0) & EndpointFlags.ISOLATED ? ', isolated' : '';
		return `${name}: a pod of this node${set === 0 ? '' : `, policy set ${set}`}${isolated}, identity ${answer.identity[side]}`;
	}
	if (kind === PeerKind.REMOTE_POD) return `${name}: a pod of node ${nodeAt(address) || 'elsewhere'}`;
	return `${name}: ${KINDS[kind] ?? 'unknown'}`;
}

/** What policy says of one end; another node says it of its own pods. */
function sideStep(asked: Asked, direction: 'egress' | 'ingress', context: StepContext): ExplanationStep {
	const { answer, from, to } = asked;
	const { index, bit } = SIDES[direction];
	const subject = direction === 'egress' ? from : to;
	const kind = answer.peer[index]?.kind;
	if (kind === PeerKind.REMOTE_POD) {
		const node = context.nodeAt(subject);
		const text = `judged on node ${node || 'of that pod'}: ask there`;
		return { about: direction, outcome: 'elsewhere', text };
	}
	if (kind !== PeerKind.LOCAL_POD) return { about: direction, outcome: 'ok', text: 'no pod, no policy' };
	if ((answer.endpointFlags[index] ?? 0) & EndpointFlags.ISOLATED && answer.denied & bit) {
		return {
			about: direction,
			outcome: 'drop',
			text: 'denied: the pod is isolated, it is not known which policies it has',
		};
	}
	const { kind: decidedBy, text: by } = context.rule(answer.rule[index] ?? 0, direction, subject);
	if (answer.denied & bit) return { about: direction, outcome: 'drop', text: `denied: ${by}` };
	if (answer.audited & bit)
		return { about: direction, outcome: 'audit', text: `let through in audit mode, would be denied: ${by}` };
	return {
		about: direction,
		outcome: 'ok',
		text: decidedBy === 'no-policy' ? 'no policy restricts it' : `allowed by ${by}`,
	};
}
