/**
 * `fairlead why-dropped`: asks the programs' own code about the first packet of a flow, for every backend if a service is
 * addressed. Sends nothing and changes nothing.
 */
import { ExplainFlag, ExplainStage, Hook, PeerKind } from '../../native/abi/generated.ts';
import { endsOf, protocolOf } from '../api/policy-ends.ts';
import type { ExplainRequest, ExplanationStep, FlowExplanation, ServiceReport } from '../api/state.ts';
import type { Flow } from '../flows/flow.ts';
import type { RuleResolver } from '../flows/history.ts';
import { askExplainer, type FlowAnswer, type FlowQuestion } from '../kernel/explainer.ts';
import type { LooseProgram } from '../kernel/programs.ts';
import type { Address } from '../model/address.ts';
import type { ClusterView } from '../model/cluster-view.ts';
import type { NodeFacts } from '../model/node-facts.ts';
import type { PolicyCompiler } from '../plan/policy/compiler.ts';
import { type Asked, restSteps, type StepContext, serviceStep, sourceStep } from './explain-steps.ts';

export interface ExplainParts {
	readonly view: ClusterView;
	readonly facts: NodeFacts;
	readonly compiler: PolicyCompiler;
	readonly rules: RuleResolver;
	/** Addresses of the pods that are attached here. */
	readonly localAddresses: ReadonlySet<Address>;
	readonly services: readonly ServiceReport[];
	readonly load: () => Promise<LooseProgram>;
}

/** Backends that are asked about one by one. */
const MOST_BACKENDS = 50;

interface ServiceBackend {
	readonly address: Address;
	readonly port: number;
	readonly text: string;
}

/** @throws REQUEST_INVALID, CallError NOT_FOUND, PROGRAM_LOAD */
export async function explainFlow(request: ExplainRequest, parts: ExplainParts): Promise<FlowExplanation> {
	const { view, compiler, facts } = parts;
	const { from, to } = endsOf(request, { view, compiler, nodeAddresses: facts.addresses });
	const proto = protocolOf(request.protocol, from.address);
	const { port: toPort, sourcePort: fromPort } = request;
	const loaded = await parts.load();
	try {
		const ask = (question: Pick<FlowQuestion, 'to' | 'toPort' | 'hook' | 'flags'>): Asked => ({
			from: from.address,
			to: question.to,
			answer: askExplainer(loaded, { from: from.address, proto, fromPort, ...question }),
		});
		const hook = hookOf(from.address, to.address, parts);
		const first = ask({ to: to.address, toPort, hook, flags: 0 });
		const context = stepContext(parts, from.text, to.text);
		const found = serviceAt(parts.services, to.address, toPort, first.answer.svcId);
		const isService = (first.answer.flags & ExplainFlag.SERVICE) !== 0;
		const backends = isService ? (found?.backends ?? []).slice(0, MOST_BACKENDS) : [];
		const each = backends.map((backend) => ({
			backend,
			asked: ask({
				to: backend.address,
				toPort: backend.port,
				hook: hookOf(from.address, backend.address, parts),
				flags: ExplainFlag.BACKEND,
			}),
		}));
		return {
			source: from.text,
			destination: `${to.text}${toPort === 0 ? '' : ` port ${toPort}`}`,
			...conclude(first, each, found?.name, context),
			concerns: concerns({ from: from.address, to: to.address, toPort, proto, backends }),
		};
	} finally {
		loaded.close();
	}
}

/** Which program meets the first packet here. */
function hookOf(from: Address, to: Address, { facts, localAddresses, view }: ExplainParts): number {
	if (localAddresses.has(from)) return Hook.FROM_POD;
	const own = facts.addresses.includes(from) || facts.localAddresses.includes(from);
	if (!own) return Hook.FROM_UPLINK;
	return isServiceAddress(view, to) ? Hook.FROM_HOST_DEVICE : Hook.TO_POD;
}

function isServiceAddress({ services }: ClusterView, address: Address): boolean {
	for (const { clusterIps, externalIps, loadBalancerIps } of services.values()) {
		if ([...clusterIps, ...externalIps, ...loadBalancerIps].includes(address)) return true;
	}
	return false;
}

function stepContext({ view, facts, rules }: ExplainParts, source: string, destination: string): StepContext {
	const nodeAt = (address: Address): string => {
		for (const pod of view.pods.values()) {
			if (!pod.finished && pod.addresses.includes(address)) return pod.node;
		}
		return '';
	};
	const rule: StepContext['rule'] = (cookie, direction, subject) => rules.verdict(cookie, direction, () => subject);
	return { source, destination, nodeName: facts.name, nodeAt, rule };
}

/** Name and backends of the service port; its name is known even if it has no backends. */
function serviceAt(
	services: readonly ServiceReport[],
	address: Address,
	port: number,
	id: number,
): { readonly name: string; readonly backends: readonly ServiceBackend[] } | undefined {
	for (const { namespace, name, frontends } of services) {
		for (const frontend of frontends) {
			if (frontend.address !== address || frontend.port !== port || (id !== 0 && frontend.id !== id)) continue;
			const backends = frontend.backends.map((backend) => ({
				address: backend.address,
				port: backend.port,
				text: backend.pod === '' ? backend.address : `${backend.address} (pod ${backend.namespace}/${backend.pod})`,
			}));
			return { name: `service ${namespace}/${name}`, backends };
		}
	}
	return undefined;
}

type Conclusion = Pick<FlowExplanation, 'verdict' | 'reason' | 'steps'>;

/** The whole chain: of the destination itself, or of a backend that stands for the others, which get a line each. */
function conclude(
	first: Asked,
	each: readonly { readonly backend: ServiceBackend; readonly asked: Asked }[],
	serviceName: string | undefined,
	context: StepContext,
): Conclusion {
	const steps: ExplanationStep[] = [sourceStep(first, context)];
	const service = serviceStep(first, serviceName, each.length, context);
	if (service !== undefined) steps.push(service);
	const refused = each.filter(({ asked }) => asked.answer.reason !== 0);
	const shown = refused[0] ?? each[0];
	if (each.length > 1) {
		for (const { backend, asked } of each) {
			const { reason } = asked.answer;
			const text = `${backend.text} port ${backend.port}: ${reason === 0 ? 'reached' : 'not reached'}`;
			steps.push({ about: 'backend', outcome: reason === 0 ? 'ok' : 'drop', text });
		}
	}
	const detailed = shown?.asked ?? resolved(first);
	const about = shown === undefined ? context : { ...context, destination: shown.backend.text };
	steps.push(...restSteps(detailed, about));
	const reason =
		first.answer.reason !== 0 && each.length === 0 ? first.answer.reason : (refused[0]?.asked.answer.reason ?? 0);
	return { steps, reason, verdict: verdictOf(detailed.answer, reason, refused.length === each.length) };
}

/** The question about a service, from its backend on: for services that are not in the reports. */
function resolved(asked: Asked): Asked {
	const { backendAddress } = asked.answer;
	return backendAddress === '' ? asked : { ...asked, to: backendAddress };
}

function verdictOf(answer: FlowAnswer, reason: number, all: boolean): FlowExplanation['verdict'] {
	if (reason !== 0) return all ? 'dropped' : 'partly';
	if (answer.stage === ExplainStage.NOT_OURS) {
		return answer.peer.some(({ kind }) => kind === PeerKind.REMOTE_POD) ? 'elsewhere' : 'stack';
	}
	return 'forwarded';
}

interface Tuple {
	readonly from: Address;
	readonly to: Address;
	readonly toPort: number;
	readonly proto: number;
	readonly backends: readonly ServiceBackend[];
}

/** Is a record about this flow, in either direction? */
function concerns({ from, to, toPort, proto, backends }: Tuple): (flow: Flow) => boolean {
	const targets = [{ address: to, port: toPort }, ...backends];
	return ({ source, destination, originalDestination, protocol }) => {
		if (protocol !== proto) return false;
		const is = (end: { readonly address: Address; readonly port: number } | undefined): boolean =>
			end !== undefined &&
			targets.some(({ address, port }) => end.address === address && (port === 0 || end.port === port));
		if (source.address === from) return is(destination) || is(originalDestination);
		return destination.address === from && is(source);
	};
}
