import { describe, expect, it } from 'vitest';
import { CONTEXT, clusterOf, service, slice } from '../../test/lib/cluster-builder.ts';
import { planServices } from '../plan/services.ts';
import { contestedFrontends } from './contested-frontends.ts';

describe('places that several services want', () => {
	const at = (name: string, created: string, ips: string[], port = 80) =>
		service(name, {
			created,
			clusterIps: [],
			externalIps: ips,
			ports: [{ name: '', protocol: 'TCP', port, nodePort: 0 }],
		});

	it('are told with the one that has them, which is the older one', () => {
		const services = [
			at('new', '2026-02-01T00:00:00Z', ['192.0.2.1', '192.0.2.2']),
			at('old', '2026-01-01T00:00:00Z', ['192.0.2.1']),
			at('other-port', '2026-03-01T00:00:00Z', ['192.0.2.1'], 81),
		].map((each, i) => ({ ...each, clusterIps: [`10.96.0.${i + 1}`] }));
		const plans = planServices(clusterOf(services, [slice('new', ['10.1.0.1'])]), [], CONTEXT);
		expect(contestedFrontends(plans)).toEqual([
			'Service default/new is not served at 192.0.2.1:80/TCP: Service default/old has it',
		]);
	});

	it('may be host ports, which services go before', () => {
		const hostPort = {
			owner: 'shop/web',
			podAddresses: ['10.1.0.9'],
			hostAddress: '192.0.2.1',
			hostPort: 80,
			protocol: 'TCP',
			podPort: 8080,
		} as const;
		const services = [{ ...at('old', '', ['192.0.2.1']), clusterIps: ['10.96.0.3'] }];
		const plans = planServices(clusterOf(services, []), [hostPort], CONTEXT);
		expect(contestedFrontends(plans)).toEqual([
			'hostPort of shop/web is not served at 192.0.2.1:80/TCP: Service default/old has it',
		]);
	});
});
