import { describe, expect, it } from 'vitest';
import { SvcFlagsName, SvcScopeName } from '../../native/abi/generated.ts';
import { CONTEXT, clusterOf, endpoint, FACTS, service, slice } from '../../test/lib/cluster-builder.ts';
import type { EndpointSlice } from '../model/endpoint-slice.ts';
import type { HostPort } from '../model/host-port.ts';
import type { Service } from '../model/service.ts';
import { planHostPorts, planServices, replanServices, selectNodePortAddresses } from './services.ts';

/** The plan as lines: entry, flags, lists. */
function lines(
	services: readonly Service[],
	slices: readonly EndpointSlice[],
	hostPorts: readonly HostPort[] = [],
): string[] {
	const plans = planServices(clusterOf(services, slices), hostPorts, CONTEXT);
	return [...plans.values()].flatMap(({ ports }) =>
		ports.flatMap((port) =>
			port.frontends.map((f) => {
				const hosts = (list: readonly { address: string }[]): string => list.map((b) => b.address).join(',') || '-';
				return `${f.address} ${f.port}/${f.proto} ${SvcScopeName(f.scope)} ${SvcFlagsName(f.flags)} all=${hosts(port.all)} local=${hosts(port.local)}`;
			}),
		),
	);
}

const HERE = endpoint('10.0.0.1', { node: 'node-a' });
const THERE = endpoint('10.0.0.2', { node: 'node-b' });

describe('planServices', () => {
	it('gives a ClusterIP its port and an entry that rejects all other ports', () => {
		expect(lines([service('web')], [slice('web', [HERE])])).toEqual([
			'10.96.0.10 0/0 CLUSTER ADDRESS_ONLY all=- local=-',
			'10.96.0.10 80/6 CLUSTER ANY_ENDPOINTS all=10.0.0.1 local=-',
		]);
	});

	it('keeps an entry for a service without endpoints, so that it can be rejected', () => {
		expect(lines([service('web')], [])[1]).toBe('10.96.0.10 80/6 CLUSTER  all=- local=-');
	});

	it.each([
		['headless', { clusterIps: [] }],
		['ExternalName', { type: 'ExternalName' as const }],
		['of another proxy', { proxyName: 'other' }],
		['labelled headless', { headlessLabel: true }],
	])('skips a service that is %s', (_, over) => {
		expect(lines([service('web', over)], [slice('web', [HERE])])).toEqual([]);
	});

	it('ignores slices labelled headless', () => {
		const got = lines([service('web')], [slice('web', [HERE], { headlessLabel: true })]);
		expect(got[1]).toContain('all=-');
	});

	it('opens a NodePort at the chosen node addresses of each family the service has', () => {
		const np = service('web', { type: 'NodePort', ports: [{ name: '', protocol: 'TCP', port: 80, nodePort: 30080 }] });
		expect(lines([np], [slice('web', [HERE])])).toContain(
			'192.168.0.1 30080/6 EXTERNAL ANY_ENDPOINTS all=10.0.0.1 local=-',
		);
		expect(lines([np], [slice('web', [HERE])]).join()).not.toContain('fd00:192::1');
		const dual = { ...np, clusterIps: ['10.96.0.10', 'fd00:96::10'] };
		expect(lines([dual], [])).toContain('fd00:192::1 30080/6 EXTERNAL  all=- local=-');
	});

	it('serves no address of a family in which the service has no ClusterIP', () => {
		const six = service('web', {
			type: 'LoadBalancer',
			clusterIps: ['fd00:96::10'],
			externalIps: ['198.51.100.1'],
			loadBalancerIps: ['203.0.113.1'],
			ports: [{ name: '', protocol: 'TCP', port: 80, nodePort: 30080 }],
		});
		const addresses = lines([six], []).map((line) => line.split(' ')[0]);
		expect(addresses).toEqual(['fd00:96::10', 'fd00:96::10', 'fd00:192::1']);
	});

	it('ignores the node port of a ClusterIP service and a load balancer without one', () => {
		const stale = service('web', { ports: [{ name: '', protocol: 'TCP', port: 80, nodePort: 30080 }] });
		expect(lines([stale], []).join()).not.toContain('30080');
		const lb = service('web', { type: 'LoadBalancer', loadBalancerIps: ['203.0.113.1'] });
		expect(lines([lb], []).map((line) => line.split(' ')[0])).toEqual(['10.96.0.10', '10.96.0.10', '203.0.113.1']);
	});

	it('serves external and load balancer addresses, each once, and rejects no other port of theirs', () => {
		const lb = service('web', {
			type: 'LoadBalancer',
			externalIps: ['203.0.113.1'],
			loadBalancerIps: ['203.0.113.1', '203.0.113.2'],
		});
		const external = lines([lb], []).filter((line) => line.includes('EXTERNAL'));
		expect(external.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
			'203.0.113.1 80/6',
			'203.0.113.2 80/6',
		]);
	});

	it('applies the internal policy to ClusterIPs, whoever the client is, and the external one to all other addresses', () => {
		const both = service('web', { internalPolicy: 'Local', externalPolicy: 'Local', externalIps: ['203.0.113.1'] });
		expect(lines([both], [slice('web', [HERE, THERE])]).slice(1)).toEqual([
			'10.96.0.10 80/6 CLUSTER LOCAL_INTERNAL|LOCAL_EXTERNAL|ANY_ENDPOINTS all=10.0.0.1,10.0.0.2 local=10.0.0.1',
			'203.0.113.1 80/6 EXTERNAL LOCAL_EXTERNAL|ANY_ENDPOINTS all=10.0.0.1,10.0.0.2 local=10.0.0.1',
		]);
	});

	it('tells "none here" from "none anywhere" under a Local policy', () => {
		const local = service('web', { internalPolicy: 'Local' });
		expect(lines([local], [slice('web', [THERE])])[1]).toBe(
			'10.96.0.10 80/6 CLUSTER LOCAL_INTERNAL|LOCAL_EXTERNAL|ANY_ENDPOINTS all=10.0.0.2 local=-',
		);
		expect(lines([local], [])[1]).toBe('10.96.0.10 80/6 CLUSTER LOCAL_INTERNAL|LOCAL_EXTERNAL all=- local=-');
	});

	it('keeps the same port number of TCP and UDP apart', () => {
		const dns = service('dns', {
			ports: [
				{ name: 'dns', protocol: 'UDP', port: 53, nodePort: 0 },
				{ name: 'dns-tcp', protocol: 'TCP', port: 53, nodePort: 0 },
			],
		});
		const slices = [
			slice('dns', ['10.0.0.1'], { name: 'u', ports: [{ name: 'dns', protocol: 'UDP', port: 5353 }] }),
			slice('dns', ['10.0.0.2'], { name: 't', ports: [{ name: 'dns-tcp', protocol: 'TCP', port: 5353 }] }),
		];
		expect(lines([dns], slices).filter((line) => !line.includes('ADDRESS_ONLY'))).toEqual([
			'10.96.0.10 53/6 CLUSTER ANY_ENDPOINTS all=10.0.0.2 local=-',
			'10.96.0.10 53/17 CLUSTER ANY_ENDPOINTS all=10.0.0.1 local=-',
		]);
	});

	it('gives each family its own endpoints', () => {
		const dual = service('web', { clusterIps: ['10.96.0.10', 'fd00:96::10'] });
		const slices = [slice('web', ['10.0.0.1']), slice('web', ['fd00::1'], { name: 'web-6', addressType: 'IPv6' })];
		expect(lines([dual], slices).filter((line) => line.includes('80/6'))).toEqual([
			'10.96.0.10 80/6 CLUSTER ANY_ENDPOINTS all=10.0.0.1 local=-',
			'fd00:96::10 80/6 CLUSTER ANY_ENDPOINTS all=fd00::1 local=-',
		]);
	});

	it('marks session affinity and carries its timeout', () => {
		const plans = planServices(clusterOf([service('web', { affinityTimeoutS: 60 })], []), [], CONTEXT);
		const port = plans.get('default/web')!.ports.find((each) => each.frontends[0]!.port === 80)!;
		expect([SvcFlagsName(port.frontends[0]!.flags), port.affinityTimeoutS]).toEqual(['AFFINITY', 60]);
	});

	it('does not name an entry twice when an external address and port are those of the node port', () => {
		const np = service('web', {
			type: 'NodePort',
			externalIps: ['192.168.0.1'],
			ports: [{ name: '', protocol: 'TCP', port: 30080, nodePort: 30080 }],
		});
		expect(lines([np], []).filter((line) => line.startsWith('192.168.0.1'))).toHaveLength(1);
	});

	it('plans one service as it plans all', () => {
		const store = clusterOf([service('a'), service('b', { clusterIps: ['10.96.0.11'] })], [slice('a', [HERE])]);
		const all = planServices(store, [], CONTEXT);
		expect(replanServices(store, ['default/a'], CONTEXT).get('default/a')).toEqual(all.get('default/a'));
		expect(replanServices(store, ['default/gone'], CONTEXT).get('default/gone')).toEqual({ ports: [], problems: [] });
	});

	it('sorts its output, so that equal input gives equal text', () => {
		const slices = [slice('web', ['10.0.0.3', '10.0.0.1', '10.0.0.2'])];
		const reversed = [slice('web', ['10.0.0.2', '10.0.0.1', '10.0.0.3'])];
		expect(lines([service('web')], slices)).toEqual(lines([service('web')], reversed));
	});
});

describe('planHostPorts', () => {
	const base: HostPort = {
		owner: 'default/pod',
		hostAddress: null,
		hostPort: 8080,
		protocol: 'TCP',
		podAddresses: ['10.244.1.5', 'fd00:244:1::5'],
		podPort: 80,
	};
	const keys = (each: HostPort): string[] =>
		[...planHostPorts([each], CONTEXT).values()].flatMap(({ ports }) =>
			ports.flatMap((p) => p.frontends.map((f) => f.key)),
		);

	it("opens the port at every node address of the pod's families", () => {
		expect(keys(base)).toEqual(['192.168.0.1|8080|6|1', 'fd00:192::1|8080|6|1']);
		expect(keys({ ...base, podAddresses: ['10.244.1.5'] })).toEqual(['192.168.0.1|8080|6|1']);
	});

	it('opens it only at the address that was asked for', () => {
		expect(keys({ ...base, hostAddress: '192.168.0.1' })).toEqual(['192.168.0.1|8080|6|1']);
		expect(keys({ ...base, hostAddress: '0.0.0.0' })).toEqual(keys(base));
	});

	it('keeps apart mappings that differ in address or protocol only', () => {
		const plans = planHostPorts([base, { ...base, protocol: 'UDP' }, { ...base, hostAddress: '192.168.0.1' }], CONTEXT);
		const names = [...plans.values()].flatMap(({ ports }) => ports.map(({ name }) => name));
		expect(new Set(names).size).toBe(names.length);
		expect(names).toHaveLength(5);
	});
});

describe('selectNodePortAddresses', () => {
	const node = { addresses: ['192.168.0.1'], localAddresses: ['192.168.0.1', '10.9.0.1', 'fd00:192::1'] };
	it('takes the primary addresses', () => {
		expect(selectNodePortAddresses(node, 'primary')).toEqual(['192.168.0.1']);
		expect(selectNodePortAddresses(FACTS, 'primary')).toEqual(FACTS.addresses);
	});
	it('selects local addresses by prefix; a family without one is open everywhere', () => {
		expect(selectNodePortAddresses(node, ['10.0.0.0/8'])).toEqual(['10.9.0.1', 'fd00:192::1']);
		expect(selectNodePortAddresses(node, ['10.0.0.0/8', '::/0'])).toEqual(['10.9.0.1', 'fd00:192::1']);
		expect(selectNodePortAddresses(node, ['10.0.0.0/8', 'fd01::/16'])).toEqual(['10.9.0.1']);
	});
});
