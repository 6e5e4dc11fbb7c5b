/**
 * Metrics whose values are kept elsewhere and read when somebody scrapes.
 */
import type { Registry as MetricRegistry } from 'prom-client';
import { Counter, Gauge } from './prom-client.ts';

export type Sample = readonly [labels: Record<string, string>, value: number];

export function addCounter(
	registry: MetricRegistry,
	name: string,
	help: string,
	labelNames: string[],
	read: () => readonly Sample[],
): void {
	new Counter({
		name,
		help,
		labelNames,
		registers: [registry],
		collect() {
			this.reset();
			for (const [labels, value] of read()) this.inc(labels, value);
		},
	});
}

export function addGauge(
	registry: MetricRegistry,
	name: string,
	help: string,
	labelNames: string[],
	read: () => readonly Sample[],
): void {
	new Gauge({
		name,
		help,
		labelNames,
		registers: [registry],
		collect() {
			this.reset();
			for (const [labels, value] of read()) this.set(labels, value);
		},
	});
}
