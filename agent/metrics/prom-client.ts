/**
 * The parts of prom-client that are used. Its entry also loads push gateway, cluster aggregation and summaries with their
 * HTTPS and statistics libraries: 4 MB that an idle agent would carry for nothing. The version is pinned in package.json.
 */
import { createRequire } from 'node:module';
import type * as PromClient from 'prom-client';

const load = createRequire(import.meta.url);

export const Registry = load('prom-client/lib/registry.js') as typeof PromClient.Registry;
export const Counter = load('prom-client/lib/counter.js') as typeof PromClient.Counter;
export const Gauge = load('prom-client/lib/gauge.js') as typeof PromClient.Gauge;
export const Histogram = load('prom-client/lib/histogram.js') as typeof PromClient.Histogram;
