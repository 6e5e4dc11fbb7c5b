/**
 * The explanation of a flow as a message, with what the history knows of it.
 */
import type { ExplainFlowResponse } from '../../proto/generated/fairlead/v1/ExplainFlowResponse.ts';
import { dropReasonName, dropText } from '../flows/drop-reasons.ts';
import type { Flow } from '../flows/flow.ts';
import type { FlowObserver } from '../flows/observer.ts';
import { flowMessage } from './messages.ts';
import type { FlowExplanation } from './state.ts';

const SHOWN_DROPS = 5;

/** Drops of the same two ends that are still held, newest first. */
export function recentDrops(flows: Pick<FlowObserver, 'newest'>, { concerns }: FlowExplanation): Flow[] {
	return flows.newest(SHOWN_DROPS, (flow) => flow.verdict === 'dropped' && concerns(flow));
}

export function explanationMessage(
	explanation: FlowExplanation,
	drops: readonly Flow[],
	nodeName: string,
): ExplainFlowResponse {
	const { verdict, reason, source, destination, steps } = explanation;
	const known = reason === 0 ? undefined : dropText(reason);
	return {
		verdict,
		reason: reason === 0 ? '' : dropReasonName(reason),
		text: known?.text ?? '',
		remedy: known?.remedy ?? '',
		source,
		destination,
		steps: steps.map((step) => ({ ...step })),
		drops: drops.map(flowMessage),
		nodeName,
	};
}
