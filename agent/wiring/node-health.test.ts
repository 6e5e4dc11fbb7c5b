import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../config/config.ts';
import { ClusterStore } from '../sources/store.ts';
import { NodeHealth } from './node-health.ts';

function start() {
	const config = loadConfig({ args: ['--node-name', 'n1'], environment: {} });
	if ('exit' in config) throw new Error(config.text);
	const events: string[] = [];
	const health = new NodeHealth({
		store: new ClusterStore(),
		config: () => config,
		metrics: () => {
			throw new Error('nothing is measured before the dataplane is there');
		},
		readiness: () => ({ ready: true, problems: [] }),
		events: { event: (about, type, reason, message) => events.push(`${about.name} ${type} ${reason} ${message}`) },
		log: pino({ level: 'silent' }),
	});
	const sync = (...refused: string[]) => health.onSync({ problems: refused, refused, full: false, tookMs: 1 });
	return { events, sync };
}

describe('NodeHealth', () => {
	it('tells when Services find no room, and again when there are others', () => {
		const { events, sync } = start();
		sync();
		sync('shop/web', 'shop/api');
		sync('shop/web', 'shop/api');
		expect(events).toEqual([
			'n1 Warning MapFull 2 Services find no room in the maps and are not served here, shop/api among them',
		]);
		sync();
		sync('shop/web');
		expect(events).toHaveLength(2);
	});
});
