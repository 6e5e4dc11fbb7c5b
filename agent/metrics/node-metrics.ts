/**
 * Metrics of the node's life: Events, repairs, what others do on it.
 */
import type { Registry as MetricRegistry } from 'prom-client';
import { addCounter, addGauge } from './register.ts';

/** A hook on which programs of others run, and on which side of ours. */
export interface ForeignCount {
	readonly hook: string;
	/** `only`: ours is not there. */
	readonly position: 'before' | 'after' | 'only';
	readonly programs: number;
}

/** Read at each scrape. */
export interface NodeCounts {
	/** Events by what became of them. */
	readonly events: Readonly<Record<string, number>>;
	/** Repairs by what was repaired: 'link', 'device', 'cni'. */
	readonly repairs: Readonly<Record<string, number>>;
	readonly foreign: readonly ForeignCount[];
	/** Pods of this node that another plugin has attached. */
	readonly foreignPods: number;
}

export function addNodeMetrics(registry: MetricRegistry, read: () => NodeCounts): void {
	addCounter(registry, 'fairlead_events_total', 'Kubernetes Events by what became of them', ['result'], () =>
		Object.entries(read().events).map(([result, count]) => [{ result }, count]),
	);
	addCounter(
		registry,
		'fairlead_repairs_total',
		'What somebody took away and the agent put back: link, device, cni',
		['what'],
		() => Object.entries(read().repairs).map(([what, count]) => [{ what }, count]),
	);
	addGauge(
		registry,
		'fairlead_foreign_programs',
		'BPF programs of others on hooks of ours, before or after our program, or only they',
		['hook', 'position'],
		() => read().foreign.map(({ hook, position, programs }) => [{ hook, position }, programs]),
	);
	addGauge(registry, 'fairlead_foreign_pods', 'Pods of this node that another plugin has attached', [], () => [
		[{}, read().foreignPods],
	]);
}
