/**
 * The Hubble observer service and the health check its CLI asks first.
 */
import { status } from '@grpc/grpc-js';
import type { HealthHandlers } from '../../proto/generated/grpc/health/v1/Health.ts';
import type { GetFlowsRequest__Output } from '../../proto/generated/observer/GetFlowsRequest.ts';
import type { ObserverHandlers } from '../../proto/generated/observer/Observer.ts';
import type { FlowQuery } from '../flows/observer.ts';
import { CallError, callFactory } from './grpc-calls.ts';
import type { HandlerOptions } from './handlers.ts';
import { compileHubbleFilters } from './hubble-filter.ts';
import { flowsResponse } from './hubble-flow.ts';
import { parseTimestamp, safeNumber } from './requests.ts';

const SERVICES = new Set(['', 'observer.Observer', 'fairlead.v1.Agent']);

export function createObserverHandlers(options: HandlerOptions): ObserverHandlers {
	const { flows, state, version, nodeName } = options;
	const { unary, stream } = callFactory(options);
	const counts = async () => {
		const { held, capacity, seen } = flows.stats();
		const { started } = await state.status();
		const uptimeMs = Math.max(0, Date.now() - started.getTime());
		return { numFlows: held, maxFlows: capacity, seenFlows: seen, uptimeNs: uptimeMs * 1_000_000 };
	};
	const name = `fairlead ${version}`;
	return {
		GetFlows: stream('GetFlows', async function* (request, signal) {
			for await (const message of flows.observe(parseGetFlows(request), signal)) yield flowsResponse(message, options);
		}),
		ServerStatus: unary('ServerStatus', async () => ({
			...(await counts()),
			numConnectedNodes: { value: 1 },
			numUnavailableNodes: { value: 0 },
			version: name,
		})),
		GetNodes: unary('GetNodes', async () => ({
			nodes: [{ name: nodeName, version: name, state: 'NODE_CONNECTED' as const, ...(await counts()) }],
		})),
		GetNamespaces: unary('GetNamespaces', async () => {
			const [services, endpoints] = await Promise.all([state.services(), state.endpoints()]);
			const names = new Set([...services, ...endpoints].map(({ namespace }) => namespace));
			return {
				namespaces: [...names]
					.filter((each) => each !== '')
					.sort()
					.map((namespace) => ({ namespace })),
			};
		}),
	};
}

/** The field mask is ignored: the CLI's default one leaves out fields that its own output uses. */
function parseGetFlows(request: GetFlowsRequest__Output): FlowQuery {
	return {
		where: compileHubbleFilters(request.whitelist, request.blacklist),
		number: safeNumber(request.number),
		first: request.first,
		sinceNs: parseTimestamp(request.since, 'since'),
		untilNs: parseTimestamp(request.until, 'until'),
		follow: request.follow,
	};
}

export function createHealthHandlers(options: HandlerOptions): HealthHandlers {
	const { unary } = callFactory(options);
	return {
		Check: unary('Check', ({ service }) => {
			if (!SERVICES.has(service)) throw new CallError(status.NOT_FOUND, `service ${service}: not served here`);
			return { status: 'SERVING' as const };
		}),
	};
}
