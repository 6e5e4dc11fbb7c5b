/**
 * Time of the tc programs per packet, above driver + empty program, which run interleaved with them
 * (design.md section 3). BPF_PROG_TEST_RUN in a namespace of its own; nothing is attached or pinned.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { compileBpf } from '../scripts/build-bpf.ts';
import { NetnsProcess } from '../test/lib/netns-process.ts';
import type { Figure, FigureInfo, Suite } from './figures.ts';
import { median, rounded, spread } from './figures.ts';
import type { Sample, Scenario } from './tc-worker.ts';

const ROUNDS = 9;
const BASELINE = 'driver + empty program';

export interface TcFigure extends FigureInfo {
	readonly scenario: Scenario;
}

const tcp4 = { family: 4, services: 1, flows: 1 } as const;

const FIGURES: readonly TcFigure[] = [
	{
		id: 'tc.established.hot.ns',
		what: 'pod program, established packet of a service flow, one flow, 1 service',
		target: { atMost: 100 },
		scenario: { ...tcp4, kind: 'established' },
	},
	{
		id: 'tc.established.hot.10k.ns',
		what: 'the same among 10,000 services',
		scenario: { ...tcp4, kind: 'established', services: 10_000 },
	},
	{
		id: 'tc.established.hot.v6.ns',
		what: 'the same over IPv6',
		scenario: { ...tcp4, kind: 'established', family: 6 },
	},
	{
		id: 'tc.established.32k.ns',
		what: 'pod program, established packets of 32,768 flows in turn over 10,000 services',
		target: { atMost: 210 },
		scenario: { ...tcp4, kind: 'established', services: 10_000, flows: 32_768 },
	},
	{
		id: 'tc.established.32k.random.ns',
		what: 'the same, flows in random order instead of in turn',
		scenario: { ...tcp4, kind: 'established', services: 10_000, flows: 32_768, shuffled: true },
	},
	{
		id: 'tc.established.32k.1svc.ns',
		what: 'in turn, over 1 service',
		scenario: { ...tcp4, kind: 'established', flows: 32_768 },
	},
	{
		id: 'tc.established.tunnel.ns',
		what: 'established packet of a service flow to a pod of another node, VXLAN, one flow',
		scenario: { ...tcp4, kind: 'established', backends: 'tunnel' },
	},
	{
		id: 'tc.established.direct.ns',
		what: 'the same with direct routing',
		scenario: { ...tcp4, kind: 'established', backends: 'direct' },
	},
	{
		id: 'tc.new.ns',
		what: 'pod program, first packet of a service flow (two entries), 1 service',
		target: { atMost: 1000 },
		scenario: { ...tcp4, kind: 'new', flows: 32_768 },
	},
	{
		id: 'tc.new.10k.ns',
		what: 'the same over 10,000 services, twice as many flows',
		scenario: { ...tcp4, kind: 'new', services: 10_000, flows: 65_536 },
	},
	{
		id: 'tc.podtopod.ns',
		what: 'pod program, established packet between two pods of the node, no service, flow events on',
		target: { atMost: 60 },
		scenario: { ...tcp4, kind: 'podtopod' },
	},
	{
		id: 'tc.podtopod.10k.ns',
		what: 'the same among 10,000 services',
		scenario: { ...tcp4, kind: 'podtopod', services: 10_000 },
	},
	{
		id: 'tc.reply.hot.ns',
		what: 'pod program, reply of a service flow (source becomes the service), one flow',
		scenario: { ...tcp4, kind: 'reply' },
	},
	{
		id: 'tc.reply.32k.ns',
		what: 'the same, 32,768 flows over 10,000 services',
		scenario: { ...tcp4, kind: 'reply', services: 10_000, flows: 32_768 },
	},
	{
		id: 'tc.passthrough.ns',
		what: 'uplink program, packet to the node itself that is no service',
		scenario: { ...tcp4, kind: 'passthrough' },
	},
	{
		id: 'tc.passthrough.10k.ns',
		what: 'the same among 10,000 services',
		scenario: { ...tcp4, kind: 'passthrough', services: 10_000, flows: 32_768 },
	},
];

function figureOf(info: TcFigure, samples: readonly Sample[]): Figure {
	const values = samples.map((s) => s.programNs - s.emptyNs);
	const notes = samples
		.map((s) => s.note)
		.filter((note) => note !== '')
		.slice(-1);
	const baseline = info.scenario.rules === undefined ? BASELINE : 'the same without policy';
	return {
		id: info.id,
		value: rounded(median(values)),
		unit: 'ns',
		baseline: `${baseline} (${rounded(median(samples.map((s) => s.emptyNs)))} ns)`,
		runs: samples.length,
		note: [`spread ${spread(values)}`, ...notes].join('; '),
	};
}

/** Figures of one number of services share loaded programs; scenarios take turns within a round. */
async function measureGroup(driver: string, group: readonly TcFigure[], services: number): Promise<readonly Figure[]> {
	const worker = new NetnsProcess(resolve(import.meta.dirname, 'tc-worker.ts'));
	try {
		await worker.call('start', driver, services);
		for (const figure of group) {
			await worker.call('prepare', figure.id, figure.scenario);
		}
		const samples = new Map<string, Sample[]>(group.map((f) => [f.id, []]));
		for (let round = 0; round < ROUNDS; round++) {
			for (const figure of group) {
				samples.get(figure.id)?.push(await worker.call<Sample>('sample', figure.id));
			}
		}
		return group.map((figure) => figureOf(figure, samples.get(figure.id) ?? []));
	} finally {
		await worker.close();
	}
}

/**
 * Figures that may share a process: the same services, and few flows. Those that open flows clear the table, and many flows that are there
 * already make buckets longer than a figure's own flows would.
 */
function groupsOf(figures: readonly TcFigure[]): readonly TcFigure[][] {
	const groups = new Map<string, TcFigure[]>();
	for (const figure of figures) {
		const { kind, flows, rules, services } = figure.scenario;
		const alone = kind === 'new' || flows > 1 || rules !== undefined;
		const key = `${services} ${alone ? figure.id : ''}`;
		groups.set(key, [...(groups.get(key) ?? []), figure]);
	}
	return [...groups.values()];
}

/** Measures figures of the programs. @returns them in the order given */
export async function measureTc(
	figures: readonly TcFigure[],
	progress: (text: string) => void,
): Promise<readonly Figure[]> {
	const directory = await mkdtemp(join(tmpdir(), 'fairlead-bench-'));
	try {
		const driver = join(directory, 'driver.bpf.o');
		await compileBpf({ source: resolve(import.meta.dirname, 'driver.bpf.c'), output: driver });
		const out: Figure[] = [];
		for (const group of groupsOf(figures)) {
			const services = group[0]?.scenario.services ?? 1;
			progress(`${group.map((f) => f.id).join(' ')}: ${services} services, ${ROUNDS} rounds`);
			out.push(...(await measureGroup(driver, group, services)));
		}
		return figures.flatMap((f) => out.filter((o) => o.id === f.id));
	} finally {
		await rm(directory, { recursive: true, force: true });
	}
}

export const tcSuite: Suite = {
	name: 'tc programs',
	figures: FIGURES,
	run: async (ids, progress) => [
		...(await measureTc(
			FIGURES.filter((f) => ids.has(f.id)),
			progress,
		)),
	],
};
