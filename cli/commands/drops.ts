import { Command } from 'commander';
import type { DropCount__Output } from '../../proto/generated/fairlead/v1/DropCount.ts';
import type { ListDropsResponse__Output } from '../../proto/generated/fairlead/v1/ListDropsResponse.ts';
import type { Context } from '../context.ts';
import { outputOption } from '../context.ts';
import { formatBytes } from '../format.ts';
import { formatJson, formatTable } from '../output.ts';

export function dropsCommand(context: Context): Command {
	return new Command('drops')
		.description('why packets were dropped, counted since the maps were made')
		.option('-a, --all', 'also reasons that never occurred')
		.option('--explain', 'say what each reason means and what to do')
		.addOption(outputOption())
		.action(async ({ output, all = false, explain = false }: { output: string; all?: boolean; explain?: boolean }) => {
			const { drops } = await context.withAgent((agent) =>
				agent.unary<ListDropsResponse__Output>((stub, options, done) => stub.listDrops({ all }, options, done)),
			);
			if (output === 'json') await context.out(formatJson({ drops }));
			else if (drops.length === 0) await context.out('No packet was dropped.\n');
			else await context.out(explain ? explainDrops(drops) : formatDrops(drops));
		});
}

/** The most frequent first. */
function sorted(drops: readonly DropCount__Output[]): DropCount__Output[] {
	return [...drops].sort((a, b) => b.packets - a.packets || a.number - b.number);
}

export function formatDrops(drops: readonly DropCount__Output[]): string {
	const rows = sorted(drops).map(({ reason, packets, bytes, text }) => [reason, packets, formatBytes(bytes), text]);
	return formatTable(['REASON', 'PACKETS', 'BYTES', 'MEANING'], rows);
}

export function explainDrops(drops: readonly DropCount__Output[]): string {
	return sorted(drops)
		.map(({ reason, packets, bytes, text, remedy }) => {
			return `${reason}: ${packets} packets, ${formatBytes(bytes)}\n  ${text}\n  ${remedy}\n`;
		})
		.join('\n');
}
