import { Command, Option } from 'commander';
import type { ConntrackEntry__Output } from '../../proto/generated/fairlead/v1/ConntrackEntry.ts';
import type { Context } from '../context.ts';
import { outputOption } from '../context.ts';
import { durationMs, formatAge, formatBytes, formatEndpoint, orDash } from '../format.ts';
import { formatJsonLine, formatTable } from '../output.ts';
import { parseCount, parsePort } from '../parse.ts';
import { suggesting } from '../suggest.ts';

const PROTOCOLS = ['tcp', 'udp', 'sctp', 'icmp', 'icmpv6'];

interface Options {
	readonly output: string;
	readonly address: string;
	readonly port: number;
	readonly protocol: string;
	readonly limit: number;
}

export function conntrackCommand(context: Context): Command {
	const command = new Command('ct').alias('conntrack').description('connections the dataplane tracks');
	command
		.command('list')
		.description('connections, in no order; -o json prints one object per line')
		.addOption(new Option('-a, --address <ip|cidr>', 'either end or the translated address').default('', 'any'))
		.addOption(new Option('-p, --port <port>', 'port of either end').argParser(parsePort).default(0, 'any'))
		.addOption(suggesting(new Option('--protocol <name>', PROTOCOLS.join(', ')).default('', 'any'), PROTOCOLS))
		.addOption(new Option('--limit <n>', 'stop after so many; 0 = all').argParser(parseCount).default(0, 'all'))
		.addOption(outputOption('table', 'wide', 'json'))
		.action(async ({ output, ...filter }: Options) => {
			await context.withAgent(async (agent) => {
				const entries: ConntrackEntry__Output[] = [];
				for await (const entry of agent.stream((stub) => stub.listConntrack(filter))) {
					if (output === 'json') await context.out(formatJsonLine(entry));
					else entries.push(entry);
				}
				if (output !== 'json') await context.out(formatConntrack(entries, output === 'wide'));
			});
		});
	return command;
}

export function formatConntrack(entries: readonly ConntrackEntry__Output[], wide: boolean): string {
	const head = ['PROTO', 'SOURCE', 'DESTINATION', 'TRANSLATED', 'STATE', 'IDLE', 'PACKETS', 'BYTES'];
	const rows = entries.map((entry) => [
		entry.protocol,
		endText(entry.source, entry.sourcePort, entry.sourceName),
		endText(entry.destination, entry.destinationPort, entry.destinationName),
		entry.translated === '' ? '-' : formatEndpoint(entry.translated, entry.translatedPort),
		entry.state,
		entry.idle === null ? '-' : formatAge(durationMs(entry.idle)),
		`${entry.packetsForward}/${entry.packetsReply}`,
		`${formatBytes(entry.bytesForward)}/${formatBytes(entry.bytesReply)}`,
		...(wide
			? [
					entry.age === null ? '-' : formatAge(durationMs(entry.age)),
					entry.snatPort === 0 ? '-' : entry.snatPort,
					orDash(entry.flags.join(',')),
				]
			: []),
	]);
	return formatTable(wide ? [...head, 'AGE', 'SNAT-PORT', 'FLAGS'] : head, rows);
}

/** Address and port, followed by the name. */
function endText(address: string, port: number, name: string): string {
	const endpoint = formatEndpoint(address, port);
	return name === '' ? endpoint : `${endpoint} (${name})`;
}
