import { Argument, Command, Option } from 'commander';
import type { ExplainFlowResponse__Output } from '../../proto/generated/fairlead/v1/ExplainFlowResponse.ts';
import type { ExplainStep__Output } from '../../proto/generated/fairlead/v1/ExplainStep.ts';
import type { Context } from '../context.ts';
import { outputOption } from '../context.ts';
import { CliError, EXIT } from '../exit.ts';
import { compactFlow } from '../format-flow.ts';
import { formatData } from '../output.ts';
import { parsePort } from '../parse.ts';
import { suggesting } from '../suggest.ts';

const PROTOCOLS = ['tcp', 'udp', 'sctp', 'icmp', 'icmpv6'];

/** Loading the program that is asked takes the verifier a while on slow machines. */
const TIMEOUT_MS = 60_000;

const EXAMPLES = `
Examples:
  fairlead why-dropped shop/web shop/db 5432
  fairlead why-dropped shop/web service/shop/db 5432
  fairlead why-dropped shop/web 8.8.8.8 53 --protocol udp
  fairlead why-dropped 203.0.113.7 192.168.0.10 30080
  fairlead why-dropped host shop/web 8080

It asks the code of the dataplane with the maps in force what it would do with the first packet of such a flow, and changes nothing.
Egress is judged on the node of the source pod, ingress on that of the destination pod: the answer says where else to ask.
`;

interface Options {
	readonly output: string;
	readonly protocol: string;
	readonly sourcePort: number;
	readonly ipv6?: boolean;
}

export function whyDroppedCommand(context: Context): Command {
	return new Command('why-dropped')
		.description('what would become of a flow, step by step, and which drops of it were seen')
		.addArgument(suggesting(new Argument('<source>', 'an address, NAMESPACE/POD, or `host` for this node'), 'pods'))
		.addArgument(
			suggesting(new Argument('<destination>', 'an address, NAMESPACE/POD, service/NAMESPACE/NAME or `host`'), 'pods'),
		)
		.addArgument(new Argument('[port]', 'destination port, as the client uses it').argParser(parsePort))
		.addOption(suggesting(new Option('--protocol <name>', PROTOCOLS.join(', ')).default('tcp'), PROTOCOLS))
		.addOption(new Option('--source-port <port>', "the client's port").argParser(parsePort).default(0, 'any'))
		.option('-6, --ipv6', 'the IPv6 addresses of ends that have both')
		.addOption(outputOption('table', 'json', 'yaml'))
		.addHelpText('after', EXAMPLES)
		.action(async (source: string, destination: string, port: number | undefined, options: Options) => {
			const { output, protocol, sourcePort, ipv6 = false } = options;
			if (port === undefined && !protocol.startsWith('icmp')) {
				throw new CliError(EXIT.USAGE, `a port is needed for ${protocol}`);
			}
			const request = { source, destination, port: port ?? 0, protocol, sourcePort, ipVersion: ipv6 ? 6 : 0 };
			const answer = await context.withAgent(
				(agent) =>
					agent.unary<ExplainFlowResponse__Output>((stub, call, done) => stub.explainFlow(request, call, done)),
				{ timeoutMs: TIMEOUT_MS },
			);
			await context.out((await formatData(answer, output)) ?? formatExplanation(answer));
		});
}

const MARKS: Readonly<Record<string, string>> = {
	ok: 'ok',
	drop: 'DROP',
	audit: 'AUDIT',
	elsewhere: '?',
	info: '-',
};

export function formatExplanation(answer: ExplainFlowResponse__Output): string {
	const { source, destination, steps, drops, nodeName } = answer;
	const width = Math.max(0, ...steps.map(({ about }) => about.length)) + 2;
	const line = ({ about, outcome, text }: ExplainStep__Output): string =>
		`  ${about.padEnd(width)}${(MARKS[outcome] ?? outcome).padEnd(7)}${text}\n`;
	const seen =
		drops.length === 0
			? 'The flow history has no drop of it.\n'
			: `Drops that were seen:\n${drops.map((flow) => `  ${compactFlow(flow, { numeric: false, showNode: false })}`).join('')}`;
	return `${source} -> ${destination}\n${steps.map(line).join('')}\n${conclusion(answer)} (asked on ${nodeName})\n${seen}`;
}

function conclusion({ verdict, reason, text, remedy, steps }: ExplainFlowResponse__Output): string {
	// what to do about policies is what stands above
	const why = `${reason}: ${text}${reason === 'policy' ? '' : `. ${remedy}`}`;
	switch (verdict) {
		case 'dropped':
			return `Dropped, ${why}`;
		case 'partly':
			return `Depends on the backend that is chosen. Some are not reached, ${why}`;
		case 'elsewhere':
			return 'This node has no part in it: ask on the nodes of the two ends';
		case 'stack':
			return "Left to this node's own stack, which Fairlead does not know";
		default:
			return steps.some(({ outcome }) => outcome === 'elsewhere')
				? 'This node lets it through; what another node says of it is not known here'
				: 'Not dropped';
	}
}
