/**
 * Whether this node's service maps follow the cluster, per family, and what /healthz and /livez say of it.
 * A family is unhealthy when a change has waited longer than the health timeout; before its first sync it is healthy.
 * Rules: pkg/proxy/healthcheck/proxy_health.go of Kubernetes 1.36, so that load balancers and probes read us as they read
 * kube-proxy.
 */
import type { Family } from '../model/address.ts';
import type { HttpAnswer } from './http-server.ts';

export type FamilyName = 'IPv4' | 'IPv6';

export function familyName(family: Family): FamilyName {
	return family === 4 ? 'IPv4' : 'IPv6';
}

/** 2 × syncPeriod of kube-proxy. */
export const HEALTH_TIMEOUT_MS = 60_000;

export interface FamilyHealth {
	/** Milliseconds since 1970. */
	readonly lastUpdatedMs: number;
	readonly healthy: boolean;
}

export interface ProxyHealth {
	readonly healthy: boolean;
	/** Now while healthy, else when the family that is behind was last in step. */
	readonly lastUpdatedMs: number;
	readonly currentTimeMs: number;
	/** Families that have been in step once. */
	readonly status: Partial<Record<FamilyName, FamilyHealth>>;
}

export interface HealthTimes {
	/** When the family was last in step, in milliseconds since 1970; undefined = not yet. */
	readonly lastUpdatedMs: number | undefined;
	/** When the oldest change arrived that is not in force; undefined = none waits. */
	readonly oldestQueuedMs: number | undefined;
}

/** @param healthTimeoutMs  how long a change may wait */
export function judgeProxyHealth(
	times: ReadonlyMap<FamilyName, HealthTimes>,
	nowMs: number,
	healthTimeoutMs = HEALTH_TIMEOUT_MS,
): ProxyHealth {
	const status: Partial<Record<FamilyName, FamilyHealth>> = {};
	let behindSinceMs: number | undefined;
	for (const [family, { lastUpdatedMs, oldestQueuedMs }] of times) {
		if (lastUpdatedMs === undefined) continue;
		const healthy = oldestQueuedMs === undefined || nowMs - oldestQueuedMs < healthTimeoutMs;
		status[family] = { lastUpdatedMs, healthy };
		if (!healthy) behindSinceMs = Math.min(behindSinceMs ?? lastUpdatedMs, lastUpdatedMs);
	}
	const healthy = behindSinceMs === undefined;
	return { healthy, lastUpdatedMs: behindSinceMs ?? nowMs, currentTimeMs: nowMs, status };
}

/** Load balancers ask /healthz: 503 also when the node is to lose its traffic. */
export function healthzAnswer(health: ProxyHealth, nodeEligible: boolean): HttpAnswer {
	return answerOf(health.healthy && nodeEligible, { ...bodyOf(health), nodeEligible });
}

/** Liveness probes ask /livez: an agent on a node that goes away need not be restarted. */
export function livezAnswer(health: ProxyHealth): HttpAnswer {
	return answerOf(health.healthy, bodyOf(health));
}

function bodyOf({ healthy, lastUpdatedMs, currentTimeMs, status }: ProxyHealth): Record<string, unknown> {
	const families = Object.entries(status).map(([family, each]) => [
		family,
		{ lastUpdated: timeText(each.lastUpdatedMs), healthy: each.healthy },
	]);
	return {
		lastUpdated: timeText(lastUpdatedMs),
		currentTime: timeText(currentTimeMs),
		healthy,
		status: Object.fromEntries(families),
	};
}

function timeText(ms: number): string {
	return new Date(ms).toISOString();
}

function answerOf(good: boolean, body: Record<string, unknown>): HttpAnswer {
	return {
		status: good ? 200 : 503,
		contentType: 'application/json',
		headers: { 'x-content-type-options': 'nosniff' },
		body: JSON.stringify(body),
	};
}
