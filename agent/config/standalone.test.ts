import { describe, expect, it } from 'vitest';
import { type EffectiveConfig, formatConfig, loadConfig } from './config.ts';

function load(file: string, args: readonly string[] = []): EffectiveConfig {
	const environment = { FAIRLEAD_CONFIG: '/agent.yaml' };
	const loaded = loadConfig({ args, environment, readFile: () => file, hostName: () => 'lb-1' });
	if ('exit' in loaded) throw new Error(loaded.text);
	return loaded;
}

function refusal(file: string, args: readonly string[] = []): { code: unknown; lines: readonly string[] } {
	try {
		load(file, args);
	} catch (thrown) {
		const { code, message } = thrown as Error & { code: unknown };
		return { code, lines: message.split('\n').slice(1) };
	}
	return { code: 'accepted', lines: [] };
}

describe('standalone mode', () => {
	it('needs one key', () => {
		const { values, origins } = load('standalone: true');
		expect(values).toMatchObject({ standalone: true, source: 'files', routing: 'direct', northSouth: 'snat' });
		expect(origins.routing).toEqual({ source: 'automatic', reason: 'standalone' });
		expect(load('', ['--standalone', 'true']).values.standalone).toBe(true);
	});

	it('leaves the configuration of other nodes alone', () => {
		expect(load('routing: vxlan\nclusterCidrs: [10.0.0.0/8]').values).toMatchObject({
			standalone: false,
			routing: 'vxlan',
		});
	});

	it('takes all that balancing, health and limits have to do with', () => {
		const keys = {
			filesDir: '/srv/objects',
			uplink: 'eth7',
			xdp: 'native',
			socketLb: false,
			nodePortAddresses: ['192.0.2.0/24'],
			lbAlgorithm: 'maglev',
			snatPorts: { min: 20_000, max: 29_000 },
			healthzBindAddress: 'off',
			ctMaxEntries: 1024,
			routing: 'direct',
			source: 'files',
		};
		expect(load(JSON.stringify({ standalone: true, ...keys })).values).toMatchObject(keys);
	});

	it('names every key that contradicts it, its value, and where that comes from', () => {
		const file = 'standalone: true\nrouting: vxlan\npodCidrs: [10.1.0.0/24]\ndsr: vxlan';
		expect(
			refusal(file, ['--source', 'kubernetes', '--cni-bin-dir', '/opt/bin', '--policy-audit-mode', 'true']),
		).toEqual({
			code: 'CONFIG_CONFLICT',
			lines: [
				'  flag --source: source: kubernetes: expected files',
				'  file /agent.yaml: routing: vxlan: expected direct',
				'  file /agent.yaml: dsr: vxlan: expected ipip or l2',
				'  flag --policy-audit-mode: policyAuditMode: true: it has no meaning here',
				'  file /agent.yaml: podCidrs: ["10.1.0.0/24"]: it has no meaning here',
				'  flag --cni-bin-dir: cniBinDir: "/opt/bin": it has no meaning here',
			],
		});
	});

	it.each(['ipip', 'l2'])('lets servers answer clients themselves by %s', (dsr) => {
		const { values } = load(`standalone: true\nnorthSouth: dsr\ndsr: ${dsr}`);
		expect(values).toMatchObject({ northSouth: 'dsr', dsr });
	});

	it('is the only mode in which servers are on the link', () => {
		expect(() => load('northSouth: dsr\ndsr: l2')).toThrow(
			expect.objectContaining({
				code: 'CONFIG_CONFLICT',
				message: 'file /agent.yaml: dsr: l2: expected ipip or vxlan without standalone: true',
			}),
		);
	});

	it('leaves nodes the envelopes that their routing has', () => {
		expect(() => load('northSouth: dsr\ndsr: vxlan\nrouting: direct')).toThrow(
			expect.objectContaining({
				code: 'CONFIG_CONFLICT',
				message: 'file /agent.yaml: dsr: vxlan: expected ipip: routing: direct (file /agent.yaml) has no VXLAN',
			}),
		);
		for (const routing of ['vxlan', 'auto']) {
			expect(load(`northSouth: dsr\ndsr: vxlan\nrouting: ${routing}`).values).toMatchObject({ dsr: 'vxlan', routing });
		}
		expect(load('northSouth: snat\ndsr: vxlan\nrouting: direct').values.dsr).toBe('vxlan');
	});

	it('accepts the configuration that --check-config prints of it', () => {
		const config = load('standalone: true\nlbAlgorithm: least-conn');
		expect(load(formatConfig(config)).values).toEqual(config.values);
	});
});
