import { Command } from 'commander';
import type { GetStatusResponse__Output } from '../../proto/generated/fairlead/v1/GetStatusResponse.ts';
import type { Context } from '../context.ts';
import { outputOption } from '../context.ts';
import { EXIT } from '../exit.ts';
import { formatAge, formatBytes, formatTimestamp, orDash } from '../format.ts';
import { formatJson, formatPairs, formatTable } from '../output.ts';

export function statusCommand(context: Context): Command {
	return new Command('status')
		.description('state of the agent and its dataplane; exit code 5 when not ready')
		.addOption(outputOption())
		.action(async ({ output }: { output: string }) => {
			const status = await context.withAgent((agent) =>
				agent.unary<GetStatusResponse__Output>((stub, options, done) => stub.getStatus({}, options, done)),
			);
			await context.out(output === 'json' ? formatJson(status) : formatStatus(status, context.now()));
			if (!status.ready) context.setExitCode(EXIT.NOT_READY);
		});
}

/** Several blocks: what it is, what is wrong, reconcilers, maps. */
export function formatStatus(status: GetStatusResponse__Output, now: Date): string {
	const blocks = [formatPairs(headOf(status, now))];
	if (status.problems.length > 0) blocks.push(`Problems:\n${status.problems.map((line) => `  - ${line}\n`).join('')}`);
	if (status.warnings.length > 0) blocks.push(`Warnings:\n${status.warnings.map((line) => `  - ${line}\n`).join('')}`);
	if (status.sourceErrors.length > 0) {
		const lines = status.sourceErrors.map((error) => {
			const where = [error.origin, error.object, error.field].filter((part) => part !== '').join(': ');
			return `  - ${where}: ${error.message}\n`;
		});
		blocks.push(`Objects that are not in force:\n${lines.join('')}`);
	}
	if (status.reconcilers.length > 0) {
		const rows = status.reconcilers.map(({ name, runs, failures, lastSuccess, lastError }) => [
			name,
			runs,
			failures,
			lastSuccess === null ? 'never' : `${formatAge(now.getTime() - lastSuccess.seconds * 1000)} ago`,
			orDash(lastError),
		]);
		blocks.push(formatTable(['RECONCILER', 'RUNS', 'FAILURES', 'LAST SUCCESS', 'LAST ERROR'], rows));
	}
	if (status.maps.length > 0) {
		const rows = status.maps.map(({ name, entries, capacity, bytes }) => [
			name,
			entries ?? '-',
			capacity,
			entries === undefined || capacity === 0 ? '-' : `${Math.round((100 * entries) / capacity)}%`,
			formatBytes(bytes),
		]);
		blocks.push(formatTable(['MAP', 'ENTRIES', 'CAPACITY', 'USED', 'MEMORY'], rows));
	}
	return blocks.join('\n');
}

function headOf(status: GetStatusResponse__Output, now: Date): [string, string][] {
	const { started, flows } = status;
	const pairs: [string, string][] = [
		['Node', status.nodeName],
		['Agent', `${status.version}, ${status.ready ? 'ready' : 'NOT READY'}`],
	];
	if (started !== null) {
		const age = formatAge(now.getTime() - started.seconds * 1000);
		pairs.push(['Started', `${formatTimestamp({ ...started, nanos: 0 })} (${age} ago)`]);
	}
	for (const [key, value] of Object.entries(status.facts)) pairs.push([titleOf(key), value]);
	if (flows !== null) {
		const lost = flows.lostKernel + flows.lostQueue;
		pairs.push([
			'Flows',
			`${flows.held}/${flows.capacity} held, ${flows.seen} seen, ${lost} lost, ${flows.rateLimited} rate limited, ${flows.subscribers} followers`,
		]);
	}
	return pairs;
}

const ACRONYMS: Readonly<Record<string, string>> = { cidrs: 'CIDRs', mtu: 'MTU', xdp: 'XDP' };

/** 'pod-mtu' → 'Pod MTU' */
function titleOf(key: string): string {
	const text = key
		.split('-')
		.map((word) => ACRONYMS[word] ?? word)
		.join(' ');
	return text.charAt(0).toUpperCase() + text.slice(1);
}
