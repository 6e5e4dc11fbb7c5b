/**
 * The parts of prom-client that are used. Its entry also loads push gateway, cluster aggregation and summaries with their
 * HTTPS and statistics libraries: 4 MB that an idle agent would carry for nothing. The version is pinned in package.json.
 */
import Counter from 'prom-client/lib/counter.js';
import Gauge from 'prom-client/lib/gauge.js';
import Histogram from 'prom-client/lib/histogram.js';
import Registry from 'prom-client/lib/registry.js';

export { Counter, Gauge, Histogram, Registry };
