/**
 * The methods of fairlead.v1.Agent over an AgentState. Everything that decides is in requests.ts and messages.ts.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import type { AgentHandlers } from '../../proto/generated/fairlead/v1/Agent.ts';
import type { FlowObserver } from '../flows/observer.ts';
import { explanationMessage, recentDrops } from './explanations.ts';
import { CallError, type CallOptions, callFactory } from './grpc-calls.ts';
import { conntrackMessage, dropMessage, observedMessage, statusMessage } from './messages.ts';
import { policyDetails, policyList, policyTrace } from './policy-reports.ts';
import type { PolicySources } from './policy-sources.ts';
import { parseConntrackRequest, parseObserveRequest, requireText } from './requests.ts';
import type { AgentState, ServiceReport } from './state.ts';

export interface HandlerOptions extends CallOptions {
	readonly version: string;
	readonly nodeName: string;
	readonly state: AgentState;
	readonly flows: FlowObserver;
}

/** Entries a stream looks at before it lets others run. */
const ENTRIES_PER_TURN = 512;

export function createHandlers(options: HandlerOptions): AgentHandlers {
	const { state, flows } = options;
	const { unary, stream } = callFactory(options);
	return {
		GetStatus: unary('GetStatus', async () => statusMessage(await state.status(), flows.stats(), options)),
		ListServices: unary('ListServices', async ({ namespace }) => ({
			services: sortByName(inNamespace(await state.services(), namespace), (service) => service.name),
		})),
		GetService: unary('GetService', async ({ namespace, name }) => ({
			service: findService(await state.services(), namespace, name),
		})),
		ListEndpoints: unary('ListEndpoints', async ({ namespace }) => ({
			endpoints: sortByName(inNamespace(await state.endpoints(), namespace), (endpoint) => endpoint.pod),
		})),
		ListNodes: unary('ListNodes', async () => ({
			nodes: [...(await state.nodes())].sort((a, b) => compare(a.name, b.name)),
		})),
		ListDrops: unary('ListDrops', ({ all }) => ({
			drops: state
				.drops()
				.filter((total) => all || total.packets > 0n)
				.map(dropMessage),
		})),
		GetConfig: unary('GetConfig', () => ({ settings: [...state.config()] })),
		ListConntrack: stream('ListConntrack', async function* (request) {
			const test = parseConntrackRequest(request);
			let seen = 0;
			let sent = 0;
			for (const entry of await state.conntrack()) {
				if (++seen % ENTRIES_PER_TURN === 0) await nextTurn();
				if (!test(entry)) continue;
				yield conntrackMessage(entry);
				if (++sent === request.limit) return;
			}
		}),
		ListPolicies: unary('ListPolicies', ({ namespace }) => policyList(policySources(state), namespace)),
		GetPolicy: unary('GetPolicy', (request) => {
			const { namespace, name } = request;
			requireText(name, 'name');
			const found = policyDetails(policySources(state), request);
			if (found !== undefined) return found;
			throw new CallError(status.NOT_FOUND, `policy ${namespace === '' ? name : `${namespace}/${name}`}: not found`);
		}),
		TracePolicy: unary('TracePolicy', (request) => policyTrace(policySources(state), request)),
		ExplainFlow: unary('ExplainFlow', async (request) => {
			const explanation = await state.explain(request);
			if (explanation === undefined) throw new CallError(status.UNAVAILABLE, NOT_UP);
			return explanationMessage(explanation, recentDrops(flows, explanation), options.nodeName);
		}),
		ObserveFlows: stream('ObserveFlows', async function* (request, signal) {
			for await (const message of flows.observe(parseObserveRequest(request), signal)) yield observedMessage(message);
		}),
	};
}

const NOT_UP = 'the dataplane is not up yet: see fairlead status';

function policySources(state: AgentState): PolicySources {
	const sources = state.policies();
	if (sources === undefined) throw new CallError(status.UNAVAILABLE, NOT_UP);
	return sources;
}

function findService(services: readonly ServiceReport[], namespace: string, name: string): ServiceReport {
	requireText(namespace, 'namespace');
	requireText(name, 'name');
	const found = services.find((service) => service.namespace === namespace && service.name === name);
	if (found === undefined) throw new CallError(status.NOT_FOUND, `service ${namespace}/${name}: not found`);
	return found;
}

function inNamespace<T extends { readonly namespace: string }>(items: readonly T[], namespace: string): T[] {
	return items.filter((item) => namespace === '' || item.namespace === namespace);
}

function sortByName<T extends { readonly namespace: string }>(items: T[], name: (item: T) => string): T[] {
	return items.sort((a, b) => compare(a.namespace, b.namespace) || compare(name(a), name(b)));
}

function compare(a: string, b: string): number {
	return a < b ? -1 : a > b ? 1 : 0;
}
