import { Command } from 'commander';
import type { Endpoint__Output } from '../../proto/generated/fairlead/v1/Endpoint.ts';
import type { ListEndpointsResponse__Output } from '../../proto/generated/fairlead/v1/ListEndpointsResponse.ts';
import type { Context } from '../context.ts';
import { namespaceOption, outputOption } from '../context.ts';
import { orDash } from '../format.ts';
import { formatJson, formatTable } from '../output.ts';

export function endpointCommand(context: Context): Command {
	const command = new Command('endpoint').alias('ep').description('pods attached to this node');
	command
		.command('list')
		.description('all endpoints')
		.addOption(namespaceOption())
		.addOption(outputOption('table', 'wide', 'json'))
		.action(async ({ namespace, output }: { namespace: string; output: string }) => {
			const { endpoints } = await context.withAgent((agent) =>
				agent.unary<ListEndpointsResponse__Output>((stub, options, done) =>
					stub.listEndpoints({ namespace }, options, done),
				),
			);
			await context.out(output === 'json' ? formatJson({ endpoints }) : formatEndpoints(endpoints, output === 'wide'));
		});
	return command;
}

export function formatEndpoints(endpoints: readonly Endpoint__Output[], wide: boolean): string {
	const head = ['ID', 'NAMESPACE', 'POD', 'ADDRESSES', 'INTERFACE', 'STATE'];
	const rows = endpoints.map((endpoint) => [
		endpoint.id,
		orDash(endpoint.namespace),
		orDash(endpoint.pod),
		orDash(endpoint.addresses.join(',')),
		orDash(endpoint.interface),
		endpoint.state,
		...(wide ? [endpoint.ifindex, orDash(endpoint.mac), endpoint.identity, orDash(endpoint.containerId)] : []),
	]);
	return formatTable(wide ? [...head, 'IFINDEX', 'MAC', 'IDENTITY', 'CONTAINER'] : head, rows);
}
