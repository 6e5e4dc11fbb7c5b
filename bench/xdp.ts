/**
 * Time of the XDP program per packet, above driver + empty program, which run interleaved with it (design.md section 3).
 * BPF_PROG_TEST_RUN in a namespace of its own; nothing is attached or pinned.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { compileBpf } from '../scripts/build-bpf.ts';
import { NetnsProcess } from '../test/lib/netns-process.ts';
import type { Figure, FigureInfo, Suite } from './figures.ts';
import { median, rounded, spread } from './figures.ts';
import type { Sample, Scenario } from './xdp-worker.ts';

const ROUNDS = 9;
const RATIO_ROUNDS = 25;
const MANY = { services: 10_000, flows: 32_768 } as const;
const ONE = { services: 1, flows: 1 } as const;
const RATIO = 'xdp.scale.ratio';

interface XdpFigure extends FigureInfo {
	readonly scenario: Scenario;
}

const dsr = { mode: 'dsr', to: 'service', flags: 'A' } as const;
const snat = { ...dsr, mode: 'snat' } as const;

const FIGURES: readonly XdpFigure[] = [
	{
		id: 'xdp.dsr.hot.ns',
		what: 'XDP, direct server return, established packet, one flow, 1 service × 100 backends',
		target: { atMost: 65 },
		scenario: { ...dsr, ...ONE },
	},
	{
		id: 'xdp.dsr.hot.10k.ns',
		what: 'the same among 10,000 services × 10 backends',
		scenario: { ...dsr, ...MANY, flows: 1 },
	},
	{
		id: 'xdp.dsr.32k.ns',
		what: 'the same, 32,768 flows in turn over 10,000 services × 10 backends',
		target: { atMost: 105 },
		scenario: { ...dsr, ...MANY },
	},
	{
		id: 'xdp.dsr.new.ns',
		what: 'the same, each packet a SYN',
		target: { atMost: 110 },
		scenario: { ...dsr, ...MANY, flags: 'S' },
	},
	{
		id: 'xdp.dsr.transition.ns',
		what: 'as xdp.dsr.32k.ns, while the tenth backend of each service is new',
		scenario: { ...dsr, ...MANY, changing: true },
	},
	{
		id: 'xdp.snat.hot.ns',
		what: "XDP, the node's address as source, established packet, one flow, 1 service × 100 backends",
		target: { atMost: 110 },
		scenario: { ...snat, ...ONE },
	},
	{
		id: 'xdp.snat.32k.ns',
		what: 'the same, 32,768 flows in turn over 10,000 services × 10 backends',
		target: { atMost: 280 },
		scenario: { ...snat, ...MANY },
	},
	{
		id: 'xdp.snat.reply.ns',
		what: "a backend's reply to a client behind a router, one flow, 1 service × 100 backends",
		scenario: { ...snat, ...ONE, to: 'client' },
	},
	{
		id: 'xdp.snat.reply.32k.ns',
		what: 'the same, 32,768 flows in turn over 10,000 services × 10 backends',
		scenario: { ...snat, ...MANY, to: 'client' },
	},
	{
		id: 'xdp.snat.new.ns',
		what: 'first packets of 32,768 flows over 1 service: a port and two entries each, flow events on',
		target: { atMost: 1050 },
		scenario: { ...snat, ...MANY, services: 1, flags: 'S' },
	},
	{
		id: 'xdp.snat.new.10k.ns',
		what: 'the same over 10,000 services × 10 backends',
		scenario: { ...snat, ...MANY, flags: 'S' },
	},
	{
		id: 'xdp.passthrough.ns',
		what: 'XDP, packet to an address that is no service of ours, 10,000 services',
		target: { atMost: 6 },
		scenario: { ...dsr, ...MANY, flows: 1, to: 'foreign' },
	},
	{
		id: 'xdp.passthrough.node.ns',
		what: "XDP, packet to a port of the node's own address that is no service's",
		target: { atMost: 10 },
		scenario: { ...dsr, ...MANY, flows: 1, to: 'node' },
	},
];

const RATIO_INFO: FigureInfo = {
	id: RATIO,
	what: 'hot established packet, services of 10 backends: time among 10,000 of them over that with 1',
	target: { atMost: 1.1 },
};

function figureOf(info: XdpFigure, samples: readonly Sample[]): Figure {
	const values = samples.map(above);
	return {
		id: info.id,
		value: rounded(median(values)),
		unit: 'ns',
		baseline: `driver + empty program (${rounded(median(samples.map((s) => s.emptyNs)))} ns)`,
		runs: samples.length,
		note: `spread ${spread(values, 1)}`,
	};
}

/** Figures of one mode and number of services share a loaded program; scenarios take turns within a round. */
async function measureGroup(driver: string, group: readonly XdpFigure[], first: XdpFigure): Promise<Figure[]> {
	const worker = new NetnsProcess(resolve(import.meta.dirname, 'xdp-worker.ts'));
	try {
		await worker.call('start', driver, first.scenario);
		for (const figure of group) await worker.call('prepare', figure.id, figure.scenario);
		const samples = new Map<string, Sample[]>(group.map((f) => [f.id, []]));
		for (let round = 0; round < ROUNDS; round++) {
			for (const figure of group) samples.get(figure.id)?.push(await worker.call<Sample>('sample', figure.id));
		}
		return group.map((figure) => figureOf(figure, samples.get(figure.id) ?? []));
	} finally {
		await worker.close();
	}
}

function groupsOf(figures: readonly XdpFigure[]): readonly (readonly [XdpFigure, ...XdpFigure[]])[] {
	const groups = new Map<string, [XdpFigure, ...XdpFigure[]]>();
	for (const figure of figures) {
		const { mode, services, flags, changing } = figure.scenario;
		const key = `${mode} ${services} ${mode === 'snat' ? flags : ''} ${changing ?? false}`;
		const group = groups.get(key);
		if (group) group.push(figure);
		else groups.set(key, [figure]);
	}
	return [...groups.values()];
}

/** What a sample says above driver + empty program, ns. */
const above = ({ programNs, emptyNs }: Sample): number => programNs - emptyNs;

/**
 * Both sides in turn, each in a process of its own: hosts change their speed by the minute, so that figures measured one after the other tell
 * nothing about each other.
 */
async function measureRatio(driver: string): Promise<Figure> {
	const hot = { ...dsr, flows: 1, backends: 10 } as const;
	const sides: readonly Scenario[] = [
		{ ...hot, services: MANY.services },
		{ ...hot, services: 1 },
	];
	const workers = sides.map(() => new NetnsProcess(resolve(import.meta.dirname, 'xdp-worker.ts')));
	const ask = async <T>(side: number, method: string, ...args: readonly unknown[]): Promise<T> => {
		const worker = workers[side];
		if (!worker) throw new Error(`${RATIO} has no side ${side}`);
		return await worker.call<T>(method, ...args);
	};
	try {
		for (const [side, scenario] of sides.entries()) {
			await ask(side, 'start', driver, scenario);
			await ask(side, 'prepare', RATIO, scenario);
		}
		const samples: number[][] = [];
		for (let round = 0; round < RATIO_ROUNDS; round++) {
			const took: number[] = [];
			for (const side of round % 2 === 0 ? [0, 1] : [1, 0])
				took[side] = above(await ask<Sample>(side, 'sample', RATIO));
			samples.push(took);
		}
		const ratios = samples.map(([many = 0, one = 1]) => many / one);
		const [many = 0, one = 0] = [0, 1].map((side) => rounded(median(samples.map((took) => took[side] ?? 0))));
		return {
			id: RATIO,
			value: rounded(median(ratios)),
			unit: '×',
			baseline: `1 service (${one} ns)`,
			runs: ratios.length,
			note: `${many} ns among 10,000 services; spread ${spread(ratios, 2)}`,
		};
	} finally {
		await Promise.all(workers.map((worker) => worker.close()));
	}
}

export const xdpSuite: Suite = {
	name: 'XDP program',
	figures: [...FIGURES, RATIO_INFO],
	async run(ids, progress) {
		const wanted = FIGURES.filter((f) => ids.has(f.id));
		const directory = await mkdtemp(join(tmpdir(), 'fairlead-bench-'));
		try {
			const driver = join(directory, 'driver.bpf.o');
			await compileBpf({ source: resolve(import.meta.dirname, 'xdp-driver.bpf.c'), output: driver });
			const out: Figure[] = [];
			for (const group of groupsOf(wanted)) {
				const [first] = group;
				progress(`${group.map((f) => f.id).join(' ')}: ${first.scenario.services} services, ${ROUNDS} rounds`);
				out.push(...(await measureGroup(driver, group, first)));
			}
			if (ids.has(RATIO)) {
				progress(`${RATIO}: ${RATIO_ROUNDS} rounds`);
				out.push(await measureRatio(driver));
			}
			return out;
		} finally {
			await rm(directory, { recursive: true, force: true });
		}
	},
};
