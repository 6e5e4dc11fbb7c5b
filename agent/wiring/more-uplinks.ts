/**
 * The further uplinks of this node in the dataplane: their rows, what is attached to them, and what cannot be. They come and go while the
 * agent runs; none of them is worth the others.
 */
import type { Logger } from 'pino';
import { type ActivationReport, isLinkOf } from '../kernel/datapath.ts';
import { errorMessage } from '../model/errors.ts';
import type { Service } from '../model/service.ts';
import type { WantedUplink } from '../plan/uplinks.ts';
import type { Kernel } from '../reconcile/kernel.ts';
import { addUplinks, clearUplinks } from '../reconcile/uplinks.ts';
import type { MoreUplinks } from '../routing/more-uplinks.ts';
import { masqueradeAddresses } from './node-facts.ts';

export interface FurtherUplinksOptions {
	readonly kernel: Kernel;
	/** Their addresses are no source of masqueraded packets. */
	readonly services: () => Iterable<Pick<Service, 'externalIps' | 'loadBalancerIps'>>;
	/** Makes the kernel forward to and from interfaces of these names. */
	readonly forward: (names: readonly string[]) => void;
	readonly log: Pick<Logger, 'info' | 'warn'>;
}

export class FurtherUplinks {
	readonly #options: FurtherUplinksOptions;
	#found: MoreUplinks;
	/** Indexes at which forwarding was seen to, as text. */
	#forwarded: string;
	/** Indexes that were to be attached last, as text. */
	#attached = '';
	/** Why programs are not attached, by name of the interface. */
	#failed: ReadonlyMap<string, string> = new Map();
	#rowProblems: readonly string[] = [];
	/** As the log has it. */
	#told = '';
	#warned = '';

	/** @param found  those for which forwarding was seen to already */
	constructor(options: FurtherUplinksOptions, found: MoreUplinks) {
		this.#options = options;
		this.#found = found;
		this.#forwarded = this.#key;
	}

	/** What there is now. */
	set found(found: MoreUplinks) {
		this.#found = found;
		if (this.#key === this.#forwarded) return;
		try {
			this.#options.forward(found.chosen.map(({ uplink }) => uplink.name));
			this.#forwarded = this.#key;
		} catch (error) {
			// such as one that is gone already: the next look will tell
			this.#options.log.warn({ error: errorMessage(error) }, 'forwarding of further uplinks not set');
		}
	}

	get found(): MoreUplinks {
		return this.#found;
	}

	/** Interface indexes. */
	get indexes(): readonly number[] {
		return this.#found.chosen.map(({ uplink }) => uplink.ifindex);
	}

	/** What is attached is not what there is. */
	get isBehind(): boolean {
		return this.#attached !== this.#key || this.#failed.size > 0;
	}

	/** Writes rows of all. @returns constant uplinkRows of programs that are to know them */
	addRows(): number {
		const { uplinkRows, problems } = addUplinks(
			wantedRows(this.#found, this.#options.services()),
			this.#options.kernel,
		);
		this.#rowProblems = problems;
		return uplinkRows;
	}

	/** Takes the interfaces of those that are gone out of their rows, once programs know all the others. */
	clearRows(): void {
		const problems = clearUplinks(wantedRows(this.#found, this.#options.services()), this.#options.kernel);
		this.#rowProblems = [...this.#rowProblems, ...problems];
	}

	/** All of `indexes` were to be attached. */
	onAttached(report: Pick<ActivationReport, 'failed'>): void {
		this.#attached = this.#key;
		this.#failed = new Map(
			this.#found.chosen.flatMap(({ uplink }) => {
				const failure = report.failed.find(({ name }) => isLinkOf(name, [uplink.ifindex]));
				return failure === undefined ? [] : [[uplink.name, failure.message]];
			}),
		);
	}

	/** For people. */
	get warnings(): readonly string[] {
		const leftOut = this.#found.leftOut.filter(({ isProblem }) => isProblem);
		return [
			...leftOut.map(({ name, why }) => `further uplink ${name} is not served: ${why}`),
			...[...this.#failed].map(([name, why]) => `further uplink ${name} is not served: ${why}`),
			...this.#rowProblems,
		];
	}

	/** Logs what has changed since the last time. */
	tell(): void {
		const { log } = this.#options;
		const names = this.#found.chosen.map(({ uplink, reason }) => `${uplink.name}: ${reason}`);
		if (names.join() !== this.#told) log.info({ uplinks: names }, 'further uplinks');
		this.#told = names.join();
		const { warnings } = this;
		if (warnings.join() !== this.#warned && warnings.length > 0)
			log.warn({ problems: warnings }, 'interfaces not served');
		this.#warned = warnings.join();
	}

	get #key(): string {
		return this.indexes.join();
	}
}

/** As rows of the map uplinks. */
export function wantedRows(
	found: MoreUplinks,
	services: ReturnType<FurtherUplinksOptions['services']>,
): WantedUplink[] {
	const known = [...services];
	return found.chosen.map(({ uplink }) => ({
		ifindex: uplink.ifindex,
		mtu: uplink.mtu,
		addresses: masqueradeAddresses(uplink, known),
	}));
}
