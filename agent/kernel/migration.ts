/** Carrying over the content of all maps that are replaced. */
import { CarryOver, type CarryReport, copyTable } from './carry-over.ts';
import type { PinnedMaps } from './pinned-maps.ts';
import { convertPortRows } from './port-rows.ts';

/** Live flows on their way from maps of another layout. */
export class FlowMigration {
	readonly #parts: { readonly carry: CarryOver; readonly targetIsEmpty: boolean }[];
	readonly #maps: PinnedMaps;
	#begun = false;

	/** @throws FairleadError MAP_LAYOUT when a flow map cannot be carried over; nothing has been changed then */
	constructor(maps: PinnedMaps) {
		this.#maps = maps;
		this.#parts = maps.replacements
			.filter((replacement) => replacement.carry === 'flows')
			.flatMap(({ name, sources, resumed }) =>
				sources.map((source, index) => ({
					carry: new CarryOver(name, source, maps.get(name)),
					targetIsEmpty: !resumed && index === 0,
				})),
			);
	}

	/** True when there is anything to carry over. */
	get pending(): boolean {
		return this.#parts.length > 0 || this.#maps.portRows !== undefined;
	}

	/** Copies everything; the old programs go on meanwhile. */
	async firstPass(): Promise<void> {
		for (const { carry, targetIsEmpty } of this.#parts) await carry.firstPass(targetIsEmpty && !this.#begun);
		this.#begun = true;
		await this.#convertPorts();
	}

	/** Copies what changed since; to be called when the new programs see the packets. */
	async secondPass(): Promise<void> {
		for (const { carry } of this.#parts) await carry.secondPass();
		await this.#convertPorts();
	}

	/** What is converted already stays. */
	async #convertPorts(): Promise<void> {
		const { portRows } = this.#maps;
		if (portRows !== undefined)
			await convertPortRows(portRows, { ct4: this.#maps.get('ct4'), ct6: this.#maps.get('ct6') });
	}

	/** Ends it. @returns what was carried over */
	finish(): CarryReport[] {
		return this.#parts.splice(0).map(({ carry }) => carry.report());
	}
}

/** Fills new tables with the rows of those they replace. Tables of an interrupted run are full already. */
export async function copyTables(maps: PinnedMaps): Promise<CarryReport[]> {
	const reports: CarryReport[] = [];
	for (const { name, carry, sources, resumed } of maps.replacements) {
		const source = sources[0];
		if (carry !== 'tables' || resumed || source === undefined) continue;
		const report = await copyTable(name, source, maps.get(name));
		if (report !== undefined) reports.push(report);
	}
	return reports;
}
