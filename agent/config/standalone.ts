/**
 * Standalone mode: a load balancer from files, without cluster and pods. Which other keys that decides, and which contradict it. Pure.
 */
import { FairleadError } from '../model/errors.ts';
import type { EffectiveConfig } from './config.ts';
import { CONFIG_KEYS, type Config, type ConfigName } from './schema.ts';

/** Values that the mode needs; where nothing is given they are taken. */
const NEEDED = { source: 'files', routing: 'direct', bigTcp: false } as const satisfies Partial<Config>;

/** What there is without an API server, pods, policies or a CNI plugin: nothing. Only defaults go with the mode. */
const UNUSED: readonly ConfigName[] = [
	'kubeconfig',
	'k8sApiServer',
	'allPods',
	'startupTaint',
	'podWaitMs',
	'unknownPods',
	'policyAuditMode',
	'dnsResolvers',
	'dnsGraceSeconds',
	'dnsAddressesPerName',
	'policyMetrics',
	'vni',
	'vxlanPort',
	'podCidrs',
	'clusterCidrs',
	'serviceCidrs',
	'nonMasqueradeCidrs',
	'masquerade',
	'nodePortDsr',
	'cniBinDir',
	'cniConfDir',
	'cniConfName',
	'cniVersion',
	'podCoolDownMs',
	'expediteAttach',
	'addTimeoutMs',
	'delTimeoutMs',
];

/**
 * The configuration as standalone mode has it; unchanged without the mode.
 * @throws CONFIG_CONFLICT naming every key that contradicts the mode, its value and where that comes from
 */
export function withStandalone(config: EffectiveConfig): EffectiveConfig {
	if (!config.values.standalone) {
		requireEnvelope(config);
		return config;
	}
	const problems = [...neededProblems(config), ...dsrProblems(config), ...unusedProblems(config)];
	if (problems.length > 0) {
		throw new FairleadError(
			'CONFIG_CONFLICT',
			`standalone: true is a load balancer without cluster and pods, which these contradict:\n${problems.map((p) => `  ${p}`).join('\n')}`,
			{ problems },
		);
	}
	const values = { ...config.values };
	const origins = { ...config.origins };
	for (const name of Object.keys(NEEDED) as (keyof typeof NEEDED)[]) {
		if (values[name] === NEEDED[name]) continue;
		Object.assign(values, { [name]: NEEDED[name] });
		origins[name] = { source: 'automatic', reason: 'standalone' };
	}
	return { ...config, values, origins };
}

/** Nodes open IP in IP, or what comes by their overlay device. @throws CONFIG_CONFLICT */
function requireEnvelope({ values: { northSouth, dsr, routing }, origins }: EffectiveConfig): void {
	const told = `${origins.dsr.source}: dsr: ${dsr}`;
	if (dsr === 'l2') {
		throw new FairleadError('CONFIG_CONFLICT', `${told}: expected ipip or vxlan without standalone: true`);
	}
	if (northSouth === 'dsr' && dsr === 'vxlan' && routing === 'direct') {
		const why = `routing: direct (${origins.routing.source}) has no VXLAN`;
		throw new FairleadError('CONFIG_CONFLICT', `${told}: expected ipip: ${why}`);
	}
}

function neededProblems({ values, origins }: EffectiveConfig): string[] {
	return (Object.keys(NEEDED) as (keyof typeof NEEDED)[])
		.filter((name) => values[name] !== NEEDED[name] && origins[name].source !== 'default')
		.map((name) => `${origins[name].source}: ${name}: ${values[name]}: expected ${NEEDED[name]}`);
}

/** Servers open IP in IP or none at all. */
function dsrProblems({ values, origins }: EffectiveConfig): string[] {
	if (values.dsr !== 'vxlan') return [];
	return [`${origins.dsr.source}: dsr: vxlan: expected ipip or l2`];
}

function unusedProblems({ values, origins }: EffectiveConfig): string[] {
	return UNUSED.filter((name) => JSON.stringify(values[name]) !== JSON.stringify(CONFIG_KEYS[name].fallback)).map(
		(name) => `${origins[name].source}: ${name}: ${JSON.stringify(values[name])}: it has no meaning here`,
	);
}
