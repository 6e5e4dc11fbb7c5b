import { Command } from 'commander';
import type { ListNodesResponse__Output } from '../../proto/generated/fairlead/v1/ListNodesResponse.ts';
import type { Node__Output } from '../../proto/generated/fairlead/v1/Node.ts';
import type { Context } from '../context.ts';
import { outputOption } from '../context.ts';
import { orDash } from '../format.ts';
import { formatJson, formatTable } from '../output.ts';

export function nodeCommand(context: Context): Command {
	const command = new Command('node').description('nodes of the cluster and how this one reaches them');
	command
		.command('list')
		.description('all nodes')
		.addOption(outputOption())
		.action(async ({ output }: { output: string }) => {
			const { nodes } = await context.withAgent((agent) =>
				agent.unary<ListNodesResponse__Output>((stub, options, done) => stub.listNodes({}, options, done)),
			);
			await context.out(output === 'json' ? formatJson({ nodes }) : formatNodes(nodes));
		});
	return command;
}

export function formatNodes(nodes: readonly Node__Output[]): string {
	const rows = nodes.map((node) => [
		node.name,
		orDash(node.addresses.join(',')),
		orDash(node.podCidrs.join(',')),
		orDash(node.routing),
		node.mtu === 0 ? '-' : node.mtu,
	]);
	return formatTable(['NAME', 'ADDRESSES', 'POD-CIDRS', 'ROUTING', 'MTU'], rows);
}
