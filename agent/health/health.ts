/**
 * Answers to probes. `/livez`: the process runs and its event loop turns; restarting helps only if not. `/readyz`: the
 * dataplane is attached and agrees with the desired state. `/healthz`: ready, as kube-proxy's probe is understood.
 */
import type { HttpAnswer, HttpRoute } from './http-server.ts';

export interface Readiness {
	readonly ready: boolean;
	/** Why not, one sentence each. */
	readonly problems: readonly string[];
}

/** Routes for startHttpServer. */
export function healthRoutes(readiness: () => Readiness): Readonly<Record<string, HttpRoute>> {
	const ready = (): HttpAnswer => readyAnswer(readiness());
	return { '/livez': () => ({ status: 200, body: 'ok\n' }), '/readyz': ready, '/healthz': ready };
}

function readyAnswer({ ready, problems }: Readiness): HttpAnswer {
	if (ready) return { status: 200, body: 'ok\n' };
	const reasons = problems.length > 0 ? problems : ['not ready yet'];
	return { status: 503, body: reasons.map((reason) => `${reason}\n`).join('') };
}
