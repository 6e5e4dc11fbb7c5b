import { describe, expect, it } from 'vitest';
import {
	DropReason,
	ExplainFlag,
	ExplainFlow,
	ExplainStage,
	JudgedSide,
	PeerKind,
} from '../../native/abi/generated.ts';
import type { FlowAnswer } from '../kernel/explainer.ts';
import type { RuleVerdict } from '../model/policy-rule.ts';
import { type Asked, restSteps, type StepContext, serviceStep, sourceStep } from './explain-steps.ts';

const CONTEXT: StepContext = {
	source: 'A',
	destination: 'B',
	nodeName: 'node-1',
	nodeAt: (address) => (address === '10.2.0.9' ? 'node-2' : ''),
	rule: (cookie, direction, subject) => ({
		...{ kind: 'rule', policies: [], rule: '', deny: false, match: 'all' },
		text: `rule ${cookie} of ${direction} at ${subject}`,
	}),
};

const peer = (kind: number) => ({ index: 1, gen: 1, kind });

function asked(changes: Partial<FlowAnswer>, to = '10.1.0.2'): Asked {
	const { src: _src, dst: _dst, backendAddr: _addr, ...empty } = ExplainFlow.decode(new Uint8Array(ExplainFlow.size));
	const answer: FlowAnswer = {
		...{ ...empty, backendAddress: '', stage: ExplainStage.FORWARDED },
		...{ peer: [peer(PeerKind.LOCAL_POD), peer(PeerKind.LOCAL_POD)], rule: [20, 30], identity: [256, 257] },
		...changes,
	};
	return { from: '10.1.0.1', to, answer };
}

const texts = (steps: readonly { about: string; outcome: string; text: string }[]) =>
	steps.map(({ about, outcome, text }) => `${about} ${outcome} ${text}`);

describe('steps of an explanation', () => {
	it('go from egress to delivery when nothing refuses the flow', () => {
		expect(texts(restSteps(asked({ policySet: [0, 3] }), CONTEXT))).toEqual([
			'egress ok allowed by rule 20 of egress at 10.1.0.1',
			'destination ok B: a pod of this node, policy set 3, identity 257',
			'ingress ok allowed by rule 30 of ingress at 10.1.0.2',
			'delivery ok to the pod',
		]);
	});

	it('say of a pod without policies that nothing restricts it', () => {
		const rule = (cookie: number, direction: 'egress' | 'ingress', subject: string): RuleVerdict => {
			const known = CONTEXT.rule(cookie, direction, subject);
			return cookie === 0 ? { ...known, kind: 'no-policy', text: 'no policy' } : known;
		};
		const [egress] = restSteps(asked({ rule: [0, 30] }), { ...CONTEXT, rule });
		expect(egress).toMatchObject({ outcome: 'ok', text: 'no policy restricts it' });
	});

	it('end at the side that denies, and tell audit mode from denial', () => {
		const denied = { stage: ExplainStage.POLICY, reason: DropReason.POLICY, denied: JudgedSide.INGRESS };
		expect(texts(restSteps(asked(denied), CONTEXT)).at(-1)).toBe('ingress drop denied: rule 30 of ingress at 10.1.0.2');
		const audited = restSteps(asked({ audited: JudgedSide.EGRESS }), CONTEXT);
		expect(audited[0]).toMatchObject({ about: 'egress', outcome: 'audit' });
		expect(audited).toHaveLength(4);
	});

	it('name the node that judges a pod elsewhere', () => {
		const remote = asked({ peer: [peer(PeerKind.LOCAL_POD), peer(PeerKind.REMOTE_POD)] }, '10.2.0.9');
		expect(texts(restSteps(remote, CONTEXT)).slice(1)).toEqual([
			'destination ok B: a pod of node node-2',
			'ingress elsewhere judged on node node-2: ask there',
			'delivery ok to node node-2',
		]);
	});

	it('end where the sender, the service or the destination is refused', () => {
		const sender = asked({ stage: ExplainStage.SENDER, reason: DropReason.ENDPOINT_NOT_READY });
		expect(sourceStep(sender, CONTEXT).outcome).toBe('drop');
		expect(restSteps(sender, CONTEXT)).toEqual([]);
		const service = asked({ stage: ExplainStage.SERVICE, reason: DropReason.UNDEFINED_PORT });
		expect(serviceStep(service, undefined, 0, CONTEXT)?.text).toMatch(/^B: the address belongs to a service/);
		const route = asked({ stage: ExplainStage.DESTINATION, reason: DropReason.NO_ROUTE });
		expect(restSteps(route, CONTEXT).map(({ about, outcome }) => [about, outcome])).toEqual([['destination', 'drop']]);
	});

	it('say what a service has, and nothing if there is none', () => {
		const found = asked({ flags: ExplainFlag.SERVICE });
		expect(serviceStep(found, 'service x/web', 2, CONTEXT)?.text).toBe('service x/web with 2 backends');
		expect(serviceStep(asked({}), undefined, 0, CONTEXT)).toBeUndefined();
	});

	it('leave to the stack what is not ours', () => {
		const steps = restSteps(asked({ stage: ExplainStage.NOT_OURS }), CONTEXT);
		expect(steps.at(-1)).toEqual({ about: 'delivery', outcome: 'info', text: 'left to the stack of this node' });
	});
});
