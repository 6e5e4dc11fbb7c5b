/**
 * Answers to probes. `/healthz` and `/livez` are those of kube-proxy; see proxy-health.ts. `/readyz`: the dataplane is attached
 * and agrees with the desired state, with the reasons when not.
 */
import type { HttpAnswer, HttpRoute } from './http-server.ts';
import type { ProxyHealth } from './proxy-health.ts';
import { healthzAnswer, livezAnswer } from './proxy-health.ts';

export interface Readiness {
	readonly ready: boolean;
	/** Why not, one sentence each. */
	readonly problems: readonly string[];
}

export interface HealthSources {
	readonly readiness: () => Readiness;
	readonly proxyHealth: () => ProxyHealth;
	/** False when load balancers have to stop using this node. */
	readonly nodeEligible: () => boolean;
	/** After each answer, for the metrics. */
	readonly onAnswered?: (probe: 'healthz' | 'livez', status: number) => void;
}

/** Routes for startHttpServer. */
export function healthRoutes(sources: HealthSources): Readonly<Record<string, HttpRoute>> {
	const counted = (probe: 'healthz' | 'livez', answer: HttpAnswer): HttpAnswer => {
		sources.onAnswered?.(probe, answer.status);
		return answer;
	};
	return {
		'/healthz': () => counted('healthz', healthzAnswer(sources.proxyHealth(), sources.nodeEligible())),
		'/livez': () => counted('livez', livezAnswer(sources.proxyHealth())),
		'/readyz': () => readyAnswer(sources.readiness()),
	};
}

function readyAnswer({ ready, problems }: Readiness): HttpAnswer {
	if (ready) return { status: 200, body: 'ok\n' };
	const reasons = problems.length > 0 ? problems : ['not ready yet'];
	return { status: 503, body: reasons.map((reason) => `${reason}\n`).join('') };
}
