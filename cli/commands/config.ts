import { Command } from 'commander';
import type { GetConfigResponse__Output } from '../../proto/generated/fairlead/v1/GetConfigResponse.ts';
import type { Setting__Output } from '../../proto/generated/fairlead/v1/Setting.ts';
import type { Context } from '../context.ts';
import { outputOption } from '../context.ts';
import { orDash } from '../format.ts';
import { formatJson, formatTable } from '../output.ts';

export function configCommand(context: Context): Command {
	return new Command('config')
		.description('the configuration in force, where each value comes from and why')
		.addOption(outputOption())
		.action(async ({ output }: { output: string }) => {
			const { settings } = await context.withAgent((agent) =>
				agent.unary<GetConfigResponse__Output>((stub, options, done) => stub.getConfig({}, options, done)),
			);
			await context.out(output === 'json' ? formatJson(configObject(settings)) : formatConfig(settings));
		});
}

/** By key, values decoded. */
function configObject(settings: readonly Setting__Output[]): Record<string, unknown> {
	return Object.fromEntries(
		settings.map(({ key, value, origin, why }) => [
			key,
			{ value: decode(value), origin, ...(why === '' ? {} : { why }) },
		]),
	);
}

function decode(json: string): unknown {
	try {
		return JSON.parse(json);
	} catch {
		return json;
	}
}

export function formatConfig(settings: readonly Setting__Output[]): string {
	const rows = settings.map(({ key, value, origin, why }) => [key, value, origin, orDash(why)]);
	return formatTable(['KEY', 'VALUE', 'FROM', 'WHY'], rows);
}
