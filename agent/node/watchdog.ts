/**
 * Looks at what others do to our part of the node: programs that were detached are attached again, programs of others on the same
 * hooks are told of. One look after the other; a look that fails is no reason not to look again.
 */

import type { ForeignCount } from '../metrics/node-metrics.ts';
import { errorMessage } from '../model/errors.ts';
import type { EventReason } from '../model/event.ts';

/** What is at one of our hooks; see agent/kernel/hook-state.ts. */
export interface WatchedHook {
	readonly name: string;
	/** 'tc-ingress', 'xdp', … */
	readonly kind: string;
	readonly state: 'attached' | 'lost' | 'gone';
	readonly foreign: readonly { readonly what: string; readonly position: ForeignCount['position'] }[];
}

export interface WatchdogOptions {
	readonly inspect: () => Promise<readonly WatchedHook[]>;
	/** @returns false when it is not to be attached any more @throws when it cannot be attached */
	readonly repair: (name: string) => boolean;
	/** Devices are gone: whoever makes them has to look. */
	readonly onGone: (names: readonly string[]) => void;
	readonly warn: (reason: EventReason, message: string) => void;
	readonly log: { info(fields: object, message: string): void; warn(fields: object, message: string): void };
}

/** Links that an Event names. */
const NAMED = 25;

/** Those of the node before those of pods, which may be many: one Event for each would use up what may be sent. */
function namesOf(links: readonly string[]): string {
	const isPod = (name: string): boolean => name.startsWith('pod_');
	const sorted = [...links.filter((name) => !isPod(name)), ...links.filter(isPod)];
	const more = sorted.length > NAMED ? ` and ${sorted.length - NAMED} more` : '';
	return `${sorted.slice(0, NAMED).join(', ')}${more}`;
}

export class Watchdog {
	readonly #options: WatchdogOptions;
	/** 'name\nwhat' → text, of what was told. */
	#foreign = new Map<string, string>();
	#counts: readonly ForeignCount[] = [];
	#lost = new Map<string, string>();
	#looking: Promise<void> | undefined;
	#repaired = 0;
	#failure = '';

	constructor(options: WatchdogOptions) {
		this.#options = options;
	}

	/** Programs that were attached again. */
	get repaired(): number {
		return this.#repaired;
	}

	get counts(): readonly ForeignCount[] {
		return this.#counts;
	}

	/** For people; foreign programs, and what could not be repaired. */
	get warnings(): readonly string[] {
		return [...this.#lost.values(), ...this.#foreign.values()];
	}

	/** Never throws. Calls while a look is under way share it. */
	look(): Promise<void> {
		this.#looking ??= this.#look().finally(() => {
			this.#looking = undefined;
		});
		return this.#looking;
	}

	async #look(): Promise<void> {
		const { inspect, log, onGone } = this.#options;
		let hooks: readonly WatchedHook[];
		try {
			hooks = await inspect();
		} catch (error) {
			const text = errorMessage(error);
			if (text !== this.#failure) log.warn({ error: text }, 'hooks not inspected');
			this.#failure = text;
			return;
		}
		this.#failure = '';
		this.#repair(hooks.filter(({ state }) => state === 'lost'));
		this.#tellForeign(hooks);
		const gone = hooks.filter(({ state, name }) => state === 'gone' && !name.startsWith('pod_'));
		if (gone.length > 0) onGone(gone.map(({ name }) => name));
	}

	#repair(hooks: readonly WatchedHook[]): void {
		const { repair, warn, log } = this.#options;
		const failed = new Map<string, string>();
		const repaired: string[] = [];
		for (const { name } of hooks) {
			try {
				if (!repair(name)) continue;
				this.#repaired++;
				log.warn({ link: name }, 'attached again: somebody had detached it');
				repaired.push(name);
			} catch (error) {
				const text = `${name} is not attached and cannot be: ${errorMessage(error)}`;
				failed.set(name, text);
				if (!this.#lost.has(name)) log.warn({ link: name, error: errorMessage(error) }, 'not attached again');
			}
		}
		this.#lost = failed;
		if (repaired.length > 0) warn('LinkRepaired', `attached again what somebody had detached: ${namesOf(repaired)}`);
	}

	#tellForeign(hooks: readonly WatchedHook[]): void {
		const { warn, log } = this.#options;
		const now = new Map<string, string>();
		const counts = new Map<string, ForeignCount>();
		for (const { name, kind, foreign } of hooks) {
			for (const { what, position } of foreign) {
				const key = `${name}\n${what}\n${position}`;
				const side = position === 'only' ? 'where ours should be' : `${position} ours`;
				const text = `foreign ${what} at ${kind} of ${name}, ${side}`;
				now.set(key, text);
				const count = counts.get(`${kind} ${position}`)?.programs ?? 0;
				counts.set(`${kind} ${position}`, { hook: kind, position, programs: count + 1 });
				if (this.#foreign.has(key)) continue;
				log.warn({ link: name, program: what, position }, 'a foreign program runs on a hook of ours');
				warn('ForeignProgram', text);
			}
		}
		for (const [key, text] of this.#foreign) if (!now.has(key)) log.info({ program: text }, 'foreign program is gone');
		this.#foreign = now;
		this.#counts = [...counts.values()];
	}
}
