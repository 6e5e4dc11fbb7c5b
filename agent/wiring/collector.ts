/**
 * Collects flows that are over, again and again, and counts what is in tables that nobody else keeps count of.
 */
import type { Logger } from 'pino';
import type { FamilyName } from '../health/proxy-health.ts';
import { type CtGcReport, type CtMaps, collectConntrack, countEntries, type FamilyReport } from '../kernel/ct-gc.ts';
import type { CtTimeouts } from '../kernel/ct-timeouts.ts';
import type { Datapath } from '../kernel/datapath.ts';
import type { JiffiesClock } from '../kernel/jiffies.ts';
import { countClosed } from '../kernel/open-connections.ts';
import { errorMessage } from '../model/errors.ts';
import type { Dataplane } from './dataplane.ts';

export interface FlowCollectorOptions {
	readonly dataplane: Dataplane;
	readonly clock: JiffiesClock;
	readonly timeouts: CtTimeouts;
	/** After each pass over the table of a family. */
	readonly onFamily: (family: FamilyName, report: FamilyReport) => void;
	readonly onReport: (report: CtGcReport) => void;
	/** After each collection, also one that failed. */
	readonly onDone: () => void;
	readonly log: Logger;
}

/** Soon after the start, so that occupancy is known; not amid it. */
const FIRST_MS = 5_000;
const QUIET_MS = 30_000;
/** While a table fills: nothing but the collector takes flows out, and SYNs that nobody answers come fast. */
const BUSY_MS = 5_000;
const BUSY_RATIO = 0.5;

/** Maps whose entries come and go in the programs, or through several hands. */
const COUNTED = ['sock_rev', 'frags', 'affinity', 'ipcache', 'cidrs'] as const;

export class FlowCollector {
	readonly #options: FlowCollectorOptions;
	#use: Readonly<Record<string, number>> = {};
	#report: CtGcReport | undefined;
	#timer: NodeJS.Timeout | undefined;
	#running: Promise<void> | undefined;
	#closed = false;

	constructor(options: FlowCollectorOptions) {
		this.#options = options;
	}

	/** Entries by map at the last collection; empty before it. */
	get use(): Readonly<Record<string, number>> {
		return this.#use;
	}

	/** The last collection; undefined = none yet. */
	get report(): CtGcReport | undefined {
		return this.#report;
	}

	start(): void {
		this.#schedule(FIRST_MS);
	}

	async close(): Promise<void> {
		this.#closed = true;
		clearTimeout(this.#timer);
		await this.#running;
	}

	#schedule(delayMs: number): void {
		if (this.#closed) return;
		this.#timer = setTimeout(() => {
			this.#running = this.#run().then(() => this.#schedule(this.#isBusy() ? BUSY_MS : QUIET_MS));
		}, delayMs);
	}

	async #run(): Promise<void> {
		try {
			await this.#collect();
		} catch (error) {
			this.#options.log.warn({ error: errorMessage(error) }, 'collection of flows failed');
		}
		this.#options.onDone();
	}

	async #collect(): Promise<void> {
		const { dataplane, clock, timeouts, onFamily, onReport } = this.#options;
		const { datapath } = dataplane;
		const report = await collectConntrack({
			...flowTables(datapath),
			clock,
			nodeAddresses: dataplane.ownAddresses,
			timeouts,
			overflowInUse: overflowInUse(datapath),
		});
		this.#report = report;
		onReport(report);
		countClosed(datapath.kernel, [...report.IPv4.closedAtBackends, ...report.IPv6.closedAtBackends]);
		onFamily('IPv4', report.IPv4);
		onFamily('IPv6', report.IPv6);
		const use: Record<string, number> = {
			ct4: report.IPv4.entries,
			ct6: report.IPv6.entries,
			ctfull4: report.IPv4.overflow,
			ctfull6: report.IPv6.overflow,
		};
		for (const map of COUNTED) use[map] = await countEntries(datapath.map(map));
		this.#use = use;
		if (report.IPv4.overflow + report.IPv6.overflow === 0) await closeOverflow(datapath);
	}

	#isBusy(): boolean {
		const { datapath } = this.#options.dataplane;
		const share = (map: 'ct4' | 'ct6'): number => (this.#use[map] ?? 0) / datapath.kernel.mapCapacity(map);
		return overflowInUse(datapath) || Math.max(share('ct4'), share('ct6')) >= BUSY_RATIO;
	}
}

export function flowTables(datapath: Datapath): CtMaps {
	return {
		ct4: datapath.map('ct4'),
		ct6: datapath.map('ct6'),
		ctfull4: datapath.map('ctfull4'),
		ctfull6: datapath.map('ctfull6'),
	};
}

const FIRST = new Uint8Array(4);
const NO = Uint8Array.of(0, 0, 0, 0);
const YES = Uint8Array.of(1, 0, 0, 0);

function overflowInUse({ kernel }: Datapath): boolean {
	return (kernel.mapGet('ctfull', FIRST)?.[0] ?? 0) !== 0;
}

/** Spares programs the look-up in tables that are empty. A program that was just about to insert there is waited for. */
async function closeOverflow(datapath: Datapath): Promise<void> {
	const { kernel } = datapath;
	if (!overflowInUse(datapath)) return;
	kernel.mapSet('ctfull', FIRST, NO);
	kernel.barrier();
	const left = await Promise.all([datapath.map('ctfull4'), datapath.map('ctfull6')].map(countEntries));
	if (left.some((count) => count > 0)) kernel.mapSet('ctfull', FIRST, YES);
}
