import { Command, Option } from 'commander';
import type { Flow__Output } from '../../proto/generated/fairlead/v1/Flow.ts';
import type { FlowFilter } from '../../proto/generated/fairlead/v1/FlowFilter.ts';
import type { ObserveFlowsRequest } from '../../proto/generated/fairlead/v1/ObserveFlowsRequest.ts';
import type { Context } from '../context.ts';
import { CliError, EXIT } from '../exit.ts';
import { compactFlow, flowTable, lostText } from '../format-flow.ts';
import type { ObserveOptions } from '../observe-request.ts';
import {
	collectNot,
	DIRECTIONS,
	directionValue,
	inOptions,
	KINDS,
	kindValue,
	observeRequest,
	VERDICTS,
	verdictValue,
} from '../observe-request.ts';
import { formatJsonLine } from '../output.ts';
import { collect, collectWhole, parsePort, parsePositive, parseTime } from '../parse.ts';
import { suggesting, type Values } from '../suggest.ts';

interface Options extends ObserveOptions {
	readonly output: 'compact' | 'table' | 'json';
	readonly numeric?: boolean;
	readonly printNodeName?: boolean;
}

const PROTOCOLS = ['tcp', 'udp', 'sctp', 'icmp', 'icmpv4', 'icmpv6'];

const EXAMPLES = `
Examples:
  fairlead observe --follow --verdict dropped
  fairlead observe --pod shop/web --to-port 5432 --since 5m
  fairlead observe -f --service shop/db --not namespace=kube-system -o json

Filters of different kinds must all match; values of one filter are alternatives. -o json prints one object per line.
`;

export function observeCommand(context: Context): Command {
	const time = (flags: string, description: string): Option =>
		new Option(flags, description).argParser((text) => parseTime(text, context.now()));
	const command = new Command('observe')
		.description('flows and drops with names; without a choice the last 20')
		.option('-f, --follow', 'go on with live flows')
		.addOption(count('--last <n>', 'the newest n flows').conflicts(['first', 'all', 'since']))
		.addOption(
			count('--first <n>', 'the oldest n flows that are still held; with --since the first n from then on').conflicts([
				'all',
				'follow',
			]),
		)
		.option('--all', 'every flow that is held')
		.addOption(time('--since <time>', 'from this time on: 5m (ago) or 2026-01-31T12:00:00Z'))
		.addOption(time('--until <time>', 'up to this time'))
		.addOption(
			new Option('-o, --output <format>', 'output format').choices(['compact', 'table', 'json']).default('compact'),
		)
		.option('--numeric', 'addresses instead of names')
		.option('--print-node-name', 'show the node that saw the flow')
		.addHelpText('after', EXAMPLES);
	addFilters(command);
	return command.action(async (options: Options) => {
		if (options.follow === true && options.output === 'table') {
			throw new CliError(EXIT.USAGE, '-o table is not possible with --follow: column widths need all rows');
		}
		try {
			await observe(context, options, observeRequest(options));
		} catch (error) {
			if (!(error instanceof CliError) || error.exitCode !== EXIT.USAGE) throw error;
			throw new CliError(EXIT.USAGE, inOptions(error.message), { cause: error });
		}
	});
}

function count(flags: string, description: string): Option {
	return new Option(flags, description).argParser(parsePositive);
}

function addFilters(command: Command): void {
	const list = (flags: string, description: string, values: Values = []): Option =>
		suggesting(new Option(flags, description).argParser(collect((text) => text)), values);
	const ports = (flags: string, description: string): Option =>
		new Option(flags, description).argParser(collect(parsePort));
	const words = <T>(flags: string, choices: readonly string[], parse: (word: string) => T): Option =>
		suggesting(new Option(flags, `one of ${choices.join(', ')}`).argParser(collect(parse)), choices);
	const options = [
		list('--pod <[ns/]prefix>', 'either end is a pod whose name starts so; NS/ alone is every pod of it', 'pods'),
		list('--from-pod <[ns/]prefix>', 'the source is such a pod', 'pods'),
		list('--to-pod <[ns/]prefix>', 'the destination is such a pod', 'pods'),
		list('-n, --namespace <name>', 'either end is in the namespace', 'namespaces'),
		list('--ip <ip|cidr>', 'either end, or the address before translation'),
		list('--from-ip <ip|cidr>', 'the source'),
		list('--to-ip <ip|cidr>', 'the destination, before or after translation'),
		ports('-p, --port <port>', 'either end'),
		ports('--from-port <port>', 'the source'),
		ports('--to-port <port>', 'the destination, before or after translation'),
		list('--protocol <name>', `${PROTOCOLS.join(', ')} or a number`, PROTOCOLS),
		words('--verdict <verdict>', VERDICTS, verdictValue),
		list('--reason <reason>', 'drop reason; `fairlead drops --all` lists them', 'reasons'),
		list('--service <[ns/]prefix>', 'the service that was addressed', 'services'),
		new Option('-l, --label <selector>', 'either end is a pod with such labels: app=web,tier in (a,b)').argParser(
			collectWhole,
		),
		words('--kind <kind>', KINDS, kindValue),
		words('--direction <direction>', DIRECTIONS, directionValue),
		list('--tcp-flags <flags>', 'all of them are set: syn or syn+ack'),
		new Option('--not <field=value>', 'hide flows that match; fields are named as the filters').argParser<FlowFilter[]>(
			collectNot,
		),
	];
	for (const option of options) command.addOption(option);
	command.option('-4, --ipv4', 'only IPv4').option('-6, --ipv6', 'only IPv6');
}

async function observe(context: Context, options: Options, request: ObserveFlowsRequest): Promise<void> {
	const text = { numeric: options.numeric === true, showNode: options.printNodeName === true };
	await context.withAgent(async (agent) => {
		const held: Flow__Output[] = [];
		for await (const message of agent.stream((stub) => stub.observeFlows(request), context.interrupted)) {
			if (options.output === 'json') await context.out(formatJsonLine(message));
			else if (message.lost) context.warn(lostText(message.lost));
			else if (message.flow && options.output === 'table') held.push(message.flow);
			else if (message.flow) {
				await context.out(compactFlow(message.flow, text));
			}
		}
		if (options.output === 'table') await context.out(flowTable(held, text));
	});
}
