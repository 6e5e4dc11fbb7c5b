/**
 * Measures Fairlead's figures and prints them; see USAGE. With --json everything but the figures goes to stderr.
 * Exit code 1 when a suite could not be measured, 2 when the options are wrong.
 */
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import type { Figure, FigureInfo, Suite } from './figures.ts';
import { reached, targetText } from './figures.ts';
import { suites } from './suites.ts';

const USAGE = `usage: npm run bench -- [--only PREFIX]... [--json] [--list]
  --only PREFIX  measure the figures whose id begins so, e.g. tc. or xdp.dsr.hot.ns; may be given several times
  --json         print one line per figure
  --list         print id, meaning and target of the figures, and measure nothing
`;

interface Options {
	readonly only: readonly string[];
	readonly json: boolean;
	readonly list: boolean;
}

/** @returns undefined when help is asked for. @throws TypeError that names the option */
function readOptions(): Options | undefined {
	const { values } = parseArgs({
		options: {
			only: { type: 'string', multiple: true },
			json: { type: 'boolean', default: false },
			list: { type: 'boolean', default: false },
			help: { type: 'boolean', short: 'h', default: false },
		},
	});
	return values.help ? undefined : { only: values.only ?? [], json: values.json, list: values.list };
}

function selected(suite: Suite, only: readonly string[]): readonly FigureInfo[] {
	return suite.figures.filter((f) => only.length === 0 || only.some((prefix) => f.id.startsWith(prefix)));
}

function printTable(figures: readonly Figure[], infos: ReadonlyMap<string, FigureInfo>): void {
	const table = new Table({
		head: ['id', 'value', 'unit', 'target', 'reached', 'baseline', 'runs', 'note'],
		style: { head: [] },
	});
	for (const f of figures) {
		const target = infos.get(f.id)?.target;
		table.push([f.id, f.value, f.unit, targetText(target), reached(f.value, target), f.baseline, f.runs, f.note]);
	}
	process.stdout.write(`${table.toString()}\n`);
}

function printList(infos: Iterable<FigureInfo>): void {
	for (const info of infos) {
		process.stdout.write(`${info.id}  ${info.what}${info.target ? `  (${targetText(info.target)})` : ''}\n`);
	}
}

async function measure(options: Options): Promise<{ figures: Figure[]; failed: number }> {
	const figures: Figure[] = [];
	let failed = 0;
	for (const suite of suites) {
		const ids = new Set(selected(suite, options.only).map((f) => f.id));
		if (ids.size === 0) {
			continue;
		}
		try {
			const measured = await suite.run(ids, (text) => process.stderr.write(`${suite.name}: ${text}\n`));
			figures.push(...measured);
			for (const figure of options.json ? measured : []) {
				process.stdout.write(`${JSON.stringify(figure)}\n`);
			}
		} catch (error) {
			failed++;
			process.stderr.write(`${suite.name}: could not be measured: ${error instanceof Error ? error.message : error}\n`);
		}
	}
	return { figures, failed };
}

async function main(): Promise<number> {
	let options: Options | undefined;
	try {
		options = readOptions();
	} catch (error) {
		process.stderr.write(`${error instanceof Error ? error.message : error}\n${USAGE}`);
		return 2;
	}
	if (options === undefined) {
		process.stdout.write(USAGE);
		return 0;
	}
	const infos = new Map(suites.flatMap((s) => selected(s, options.only).map((f) => [f.id, f] as const)));
	if (infos.size === 0) {
		process.stderr.write(`no figure starts with ${options.only.join(' or ')}; --list shows all\n`);
		return 2;
	}
	if (options.list) {
		printList(infos.values());
		return 0;
	}
	const { figures, failed } = await measure(options);
	if (!options.json) {
		printTable(figures, infos);
	}
	return failed > 0 ? 1 : 0;
}

// a reader such as `head` that has seen enough is no error
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

process.exitCode = await main();
