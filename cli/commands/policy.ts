import { Argument, Command, Option } from 'commander';
import type { GetPolicyResponse__Output } from '../../proto/generated/fairlead/v1/GetPolicyResponse.ts';
import type { ListPoliciesResponse__Output } from '../../proto/generated/fairlead/v1/ListPoliciesResponse.ts';
import type { Policy__Output } from '../../proto/generated/fairlead/v1/Policy.ts';
import type { PolicyCounters__Output } from '../../proto/generated/fairlead/v1/PolicyCounters.ts';
import type { PolicyRule__Output } from '../../proto/generated/fairlead/v1/PolicyRule.ts';
import type { PolicyTrace__Output } from '../../proto/generated/fairlead/v1/PolicyTrace.ts';
import type { TracePolicyResponse__Output } from '../../proto/generated/fairlead/v1/TracePolicyResponse.ts';
import type { Context } from '../context.ts';
import { namespaceOption, outputOption } from '../context.ts';
import { CliError, EXIT } from '../exit.ts';
import { formatBytes, formatTimestamp, orDash } from '../format.ts';
import { formatData, formatPairs, formatTable } from '../output.ts';
import { parsePort } from '../parse.ts';
import { suggesting } from '../suggest.ts';

const PROTOCOLS = ['tcp', 'udp', 'sctp', 'icmp', 'icmpv6'];

interface TraceOptions {
	readonly output: string;
	readonly protocol: string;
	readonly port: number;
	readonly viaService?: boolean;
	readonly ipv6?: boolean;
}

export function policyCommand(context: Context): Command {
	const command = new Command('policy').alias('pol').description('network policies as they are in force on this node');
	command.addCommand(listCommand(context)).addCommand(getCommand(context)).addCommand(traceCommand(context));
	return command;
}

function listCommand(context: Context): Command {
	return new Command('list')
		.description('all policies: whom they select here, whether they are in force, what they let through and drop')
		.addOption(namespaceOption())
		.addOption(outputOption('table', 'wide', 'json', 'yaml'))
		.action(async ({ namespace, output }: { namespace: string; output: string }) => {
			const answer = await context.withAgent((agent) =>
				agent.unary<ListPoliciesResponse__Output>((stub, options, done) =>
					stub.listPolicies({ namespace }, options, done),
				),
			);
			await context.out((await formatData(answer, output)) ?? formatPolicies(answer, output === 'wide'));
		});
}

function getCommand(context: Context): Command {
	const name = new Argument('<name>', 'NAMESPACE/NAME, or NAME of a cluster policy');
	return new Command('get')
		.description('one policy with its rules and what they counted')
		.addArgument(suggesting(name, 'policies'))
		.addOption(outputOption('table', 'json', 'yaml'))
		.action(async (text: string, { output }: { output: string }) => {
			const answer = await context.withAgent((agent) =>
				agent.unary<GetPolicyResponse__Output>((stub, options, done) =>
					stub.getPolicy(parsePolicyName(text), options, done),
				),
			);
			if (answer.policy === null) throw new CliError(EXIT.FAILURE, 'the agent sent an empty answer');
			await context.out((await formatData(answer.policy, output)) ?? formatPolicy(answer.policy, answer.counted));
		});
}

function traceCommand(context: Context): Command {
	const end = (flags: string) => suggesting(new Argument(flags, 'an address or NAMESPACE/POD'), 'pods');
	return new Command('trace')
		.description('what the rules say of a flow, in the order in which they are asked')
		.addArgument(end('<source>'))
		.addArgument(end('<destination>'))
		.addOption(suggesting(new Option('--protocol <name>', PROTOCOLS.join(', ')).default('tcp'), PROTOCOLS))
		.addOption(
			new Option('-p, --port <port>', 'destination port, after service translation')
				.argParser(parsePort)
				.default(0, 'none'),
		)
		.option('--via-service', 'the client addressed a service (matters only for a pod that reaches itself)')
		.option('-6, --ipv6', 'the IPv6 addresses of pods that have both')
		.addOption(outputOption('table', 'json', 'yaml'))
		.action(async (source: string, destination: string, trace: TraceOptions) => {
			const { protocol, port, viaService = false, ipv6 = false, output } = trace;
			if (port === 0 && !protocol.startsWith('icmp'))
				throw new CliError(EXIT.USAGE, `--port is needed for ${protocol}`);
			const request = { source, destination, protocol, port, viaService, ipVersion: ipv6 ? 6 : 0 };
			const answer = await context.withAgent((agent) =>
				agent.unary<TracePolicyResponse__Output>((stub, options, done) => stub.tracePolicy(request, options, done)),
			);
			await context.out((await formatData(answer, output)) ?? formatTrace(answer));
		});
}

/** @throws CliError USAGE */
export function parsePolicyName(text: string): { namespace: string; name: string } {
	const parts = text.split('/');
	const [first = '', second] = parts;
	if (parts.length > 2 || parts.includes('')) {
		throw new CliError(
			EXIT.USAGE,
			`policy ${JSON.stringify(text)}: expected NAMESPACE/NAME, or NAME of a cluster policy`,
		);
	}
	return second === undefined ? { namespace: '', name: first } : { namespace: first, name: second };
}

function nameOf({ namespace, name }: Policy__Output): string {
	return namespace === '' ? name : `${namespace}/${name}`;
}

/** '12 (3.4 KiB)' */
function countText(packets: number, bytes: number): string {
	return packets === 0 ? '0' : `${packets} (${formatBytes(bytes)})`;
}

function allowedText(counters: PolicyCounters__Output | null): string {
	return counters === null ? '-' : countText(counters.allowedPackets, counters.allowedBytes);
}

function deniedText(counters: PolicyCounters__Output | null): string {
	return counters === null ? '-' : countText(counters.deniedPackets, counters.deniedBytes);
}

export function formatPolicies({ policies, isolated }: ListPoliciesResponse__Output, wide: boolean): string {
	if (policies.length === 0) return 'There are no policies.\n';
	const head = ['POLICY', 'TIER', 'DIRECTIONS', 'STATE', 'PODS', 'ALLOWED', 'DENIED'];
	const rows = policies.map((policy) => [
		nameOf(policy),
		orDash(policy.tier),
		orDash(policy.directions.join(',')),
		policy.state,
		policy.pods.length,
		allowedText(policy.counters),
		deniedText(policy.counters),
		...(wide ? [policy.subject, orDash(policy.sets.join(',')), orDash(policy.pods.join(','))] : []),
	]);
	const table = formatTable(wide ? [...head, 'SUBJECT', 'SETS', 'POD-NAMES'] : head, rows);
	const problems = policies.flatMap((policy) => policy.problems.map((problem) => `${nameOf(policy)}: ${problem}\n`));
	const none = `No rule allowed it, at pods that some policy isolates: ${deniedText(isolated)}\n`;
	return `${table}\n${none}${problems.length === 0 ? '' : `\nProblems:\n${problems.join('')}`}`;
}

export function formatPolicy(policy: Policy__Output, counted: GetPolicyResponse__Output['counted']): string {
	const pairs = formatPairs([
		['Name', nameOf(policy)],
		['Kind', policy.kind],
		...(policy.tier === '' ? [] : ([['Tier', policy.tier]] as const)),
		['Selects', policy.subject],
		['Directions', orDash(policy.directions.join(', '))],
		['State', policy.state],
		['Pods here', orDash(policy.pods.join(', '))],
		['Policy sets', orDash(policy.sets.join(', '))],
		['No rule allowed', deniedText(policy.isolated)],
		['Allowed as of', counted === null ? 'not counted yet' : formatTimestamp(counted)],
	]);
	const problems = policy.problems.map((problem) => `Problem: ${problem}\n`).join('');
	const head = ['RULE', 'ACTION', 'PEERS', 'PORTS', 'FLOWS', 'ALLOWED', 'DENIED'];
	const table = policy.rules.length === 0 ? 'It has no rules.\n' : formatTable(head, policy.rules.map(ruleRow));
	return `${pairs}${problems}\n${table}`;
}

function ruleRow(rule: PolicyRule__Output): (string | number)[] {
	const name = rule.name === '' ? '' : ` (${rule.name})`;
	return [
		`${rule.direction} ${rule.index}${name}`,
		rule.action,
		rule.peers.join('; ') || 'nobody',
		rule.ports.join(', ') || 'none',
		rule.cookie === 0 ? '-' : (rule.counters?.flows ?? 0),
		rule.cookie === 0 ? '-' : allowedText(rule.counters),
		rule.cookie === 0 ? '-' : deniedText(rule.counters),
	];
}

export function formatTrace({ source, destination, directions, allowed }: TracePolicyResponse__Output): string {
	const head = `${source} -> ${destination}\n`;
	if (directions.length === 0) return `${head}Neither end is a pod of this node: nothing is judged here.\n`;
	return `${head}${directions.map(traceText).join('')}${allowed ? 'Allowed' : 'Denied'} as far as this node judges.\n`;
}

function verdictText({ verdict, by }: PolicyTrace__Output): string {
	if (by === 'no policy') return 'allowed, no policy restricts it';
	const reason = by === 'not allowed' ? 'as no rule allows it' : `by ${by}`;
	return verdict === 'audited' ? `let through in audit mode, would be denied ${reason}` : `${verdict} ${reason}`;
}

function traceText(trace: PolicyTrace__Output): string {
	const { direction, pod, peer, isolatedBy, steps, policySet, identity } = trace;
	const lines = [
		`${direction} of pod ${pod}, ${direction === 'egress' ? 'to' : 'from'} ${peer}: ${verdictText(trace)}`,
		`  policy set ${policySet}, identity ${identity}`,
		...(isolatedBy.length > 0 ? [`  isolated by ${isolatedBy.join(', ')}`] : []),
		...steps.map(({ rule, outcome, audit }) => `  ${rule}: ${outcome}${audit ? ' (audit mode)' : ''}`),
	];
	return `${lines.join('\n')}\n`;
}
