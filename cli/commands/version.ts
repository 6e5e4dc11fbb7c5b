import { Command } from 'commander';
import type { GetStatusResponse__Output } from '../../proto/generated/fairlead/v1/GetStatusResponse.ts';
import type { Context } from '../context.ts';
import { outputOption } from '../context.ts';
import { CliError } from '../exit.ts';
import { formatJson, formatPairs } from '../output.ts';

/** @param version  of this tool */
export function versionCommand(context: Context, version: string): Command {
	return new Command('version')
		.description('version of this tool and of the agent')
		.option('--client', 'only of this tool; does not ask the agent')
		.addOption(outputOption())
		.action(async ({ client = false, output }: { client?: boolean; output: string }) => {
			const agent = client ? undefined : await agentVersion(context);
			if (output === 'json') {
				await context.out(formatJson({ client: version, ...(agent === undefined ? {} : { agent }) }));
				return;
			}
			const pairs: [string, string][] = [['Client', version]];
			if (!client) pairs.push(['Agent', agent ?? 'not reachable']);
			await context.out(formatPairs(pairs));
		});
}

/** Undefined = no agent answers, which is no failure here. */
async function agentVersion(context: Context): Promise<string | undefined> {
	try {
		const status = await context.withAgent((agent) =>
			agent.unary<GetStatusResponse__Output>((stub, options, done) => stub.getStatus({}, options, done)),
		);
		return status.version;
	} catch (error) {
		if (error instanceof CliError) return undefined;
		throw error;
	}
}
