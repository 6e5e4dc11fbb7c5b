/** Metrics of what is learnt from name servers for domainNames of policies. */
import type { Registry as MetricRegistry } from 'prom-client';
import { addCounter, addGauge } from './register.ts';

/** Read at each scrape; counts are since the start of the agent. */
export interface DomainCounts {
	readonly names: number;
	readonly addresses: number;
	readonly evicted: number;
	readonly refused: number;
	readonly answers: number;
	readonly unasked: number;
	readonly lost: number;
}

export function addDomainMetrics(registry: MetricRegistry, read: () => DomainCounts | undefined): void {
	const one = (name: keyof DomainCounts) => () => [[{}, read()?.[name] ?? 0] as const];
	addGauge(registry, 'fairlead_domain_names', 'Names of policies that addresses are known for', [], one('names'));
	addGauge(registry, 'fairlead_domain_addresses', 'Addresses that are known for names', [], one('addresses'));
	addCounter(
		registry,
		'fairlead_domain_addresses_dropped_total',
		'Addresses that had to go for others of their name, or were not learnt for want of room',
		['why'],
		() => [
			[{ why: 'evicted' }, read()?.evicted ?? 0],
			[{ why: 'refused' }, read()?.refused ?? 0],
		],
	);
	addCounter(registry, 'fairlead_dns_answers_total', 'Answers of name servers that were seen', [], one('answers'));
	addCounter(
		registry,
		'fairlead_dns_unasked_answers_total',
		'Answers that were delivered but not learnt from: nobody had asked the question',
		[],
		one('unasked'),
	);
	addCounter(
		registry,
		'fairlead_dns_frames_lost_total',
		'Frames with answers that were lost because the agent was too slow',
		[],
		one('lost'),
	);
}
