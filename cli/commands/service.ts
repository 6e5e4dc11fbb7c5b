import { Argument, Command } from 'commander';
import type { Frontend__Output } from '../../proto/generated/fairlead/v1/Frontend.ts';
import type { GetServiceResponse__Output } from '../../proto/generated/fairlead/v1/GetServiceResponse.ts';
import type { ListServicesResponse__Output } from '../../proto/generated/fairlead/v1/ListServicesResponse.ts';
import type { Service__Output } from '../../proto/generated/fairlead/v1/Service.ts';
import type { Context } from '../context.ts';
import { namespaceOption, outputOption } from '../context.ts';
import { CliError, EXIT } from '../exit.ts';
import { formatEndpoint, orDash } from '../format.ts';
import { formatJson, formatPairs, formatTable } from '../output.ts';
import { suggesting } from '../suggest.ts';

export function serviceCommand(context: Context): Command {
	const command = new Command('service').alias('svc').description('services as the dataplane has them');
	command
		.command('list')
		.description('all services')
		.addOption(namespaceOption())
		.addOption(outputOption('table', 'wide', 'json'))
		.action(async ({ namespace, output }: { namespace: string; output: string }) => {
			const { services } = await context.withAgent((agent) =>
				agent.unary<ListServicesResponse__Output>((stub, options, done) =>
					stub.listServices({ namespace }, options, done),
				),
			);
			await context.out(output === 'json' ? formatJson({ services }) : formatServices(services, output === 'wide'));
		});
	command
		.command('get')
		.description('one service with its backends')
		.addArgument(
			suggesting(new Argument('<namespace/name>', 'the service; without NAMESPACE/ it is in `default`'), 'services'),
		)
		.addOption(outputOption())
		.action(async (text: string, { output }: { output: string }) => {
			const { service } = await context.withAgent((agent) =>
				agent.unary<GetServiceResponse__Output>((stub, options, done) =>
					stub.getService(parseServiceName(text), options, done),
				),
			);
			if (service === null) throw new CliError(EXIT.FAILURE, 'the agent sent an empty answer');
			await context.out(output === 'json' ? formatJson(service) : formatService(service));
		});
	return command;
}

/** @throws CliError USAGE */
export function parseServiceName(text: string): { namespace: string; name: string } {
	const parts = text.split('/');
	const [first = '', second] = parts;
	if (parts.length > 2 || parts.includes('')) {
		throw new CliError(EXIT.USAGE, `service ${JSON.stringify(text)}: expected NAMESPACE/NAME or NAME`);
	}
	return second === undefined ? { namespace: 'default', name: first } : { namespace: first, name: second };
}

export function formatServices(services: readonly Service__Output[], wide: boolean): string {
	const head = ['NAMESPACE', 'NAME', 'TYPE', 'CLUSTER-IP', 'EXTERNAL-IP', 'PORTS', 'BACKENDS'];
	const rows = services.map((service) => [
		service.namespace,
		service.name,
		service.type,
		orDash(service.clusterIps.join(',')),
		orDash(service.externalIps.join(',')),
		orDash(portsOf(service.frontends)),
		backendCount(service.frontends),
		...(wide ? [service.internalTrafficPolicy, service.externalTrafficPolicy, affinityOf(service)] : []),
	]);
	return formatTable(wide ? [...head, 'INTERNAL-POLICY', 'EXTERNAL-POLICY', 'AFFINITY'] : head, rows);
}

/** Distinct PORT/PROTOCOL pairs in the order they come. */
function portsOf(frontends: readonly Frontend__Output[]): string {
	return [...new Set(frontends.map(({ port, protocol }) => `${port}/${protocol}`))].join(',');
}

/**
 * Distinct backends over all ports and families: a pod counts once, an address without a known pod for itself. Those that
 * only finish what they have are named apart.
 */
function backendCount(frontends: readonly Frontend__Output[]): string {
	const states = new Map<string, string>();
	for (const { backends } of frontends) {
		for (const { address, namespace, pod, state } of backends) {
			states.set(pod === '' ? address : `${namespace}/${pod}`, state);
		}
	}
	const terminating = [...states.values()].filter((state) => state === 'terminating').length;
	const active = states.size - terminating;
	return terminating === 0 ? String(active) : `${active} (+${terminating} terminating)`;
}

function affinityOf(service: Service__Output): string {
	return service.affinitySeconds === 0 ? 'None' : `ClientIP ${service.affinitySeconds}s`;
}

export function formatService(service: Service__Output): string {
	const pairs = formatPairs([
		['Name', service.name],
		['Namespace', service.namespace],
		['Type', service.type],
		['Cluster IPs', orDash(service.clusterIps.join(', '))],
		['External IPs', orDash(service.externalIps.join(', '))],
		['Session affinity', affinityOf(service)],
		['Traffic policy', `internal ${service.internalTrafficPolicy}, external ${service.externalTrafficPolicy}`],
	]);
	const rows = service.frontends.flatMap((frontend) => {
		const front = [
			`${formatEndpoint(frontend.address, frontend.port)}/${frontend.protocol}`,
			orDash(frontend.portName),
			frontend.scope,
		];
		if (frontend.backends.length === 0) return [[...front, '-', 'none', '-', '-']];
		return frontend.backends.map((backend, i) => [
			...(i === 0 ? front : ['', '', '']),
			formatEndpoint(backend.address, backend.port),
			backend.state,
			orDash(backend.pod === '' ? '' : `${backend.namespace}/${backend.pod}`),
			orDash(backend.nodeName) + (backend.local ? ' (local)' : ''),
		]);
	});
	const table = formatTable(['FRONTEND', 'PORT-NAME', 'SCOPE', 'BACKEND', 'STATE', 'POD', 'NODE'], rows);
	return rows.length === 0 ? `${pairs}\nNothing of it is in the dataplane.\n` : `${pairs}\n${table}`;
}
