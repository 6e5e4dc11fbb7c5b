/**
 * Asks for a run of the node loop when the kernel tells of a change that concerns it, a moment later. Whatever this misses, the loop's
 * own look finds: nothing depends on a notice.
 */
import type { Logger } from 'pino';
import type { Config } from '../config/schema.ts';
import { HOST_IFNAME } from '../endpoints/attachment.ts';
import { type ListenOptions, listenToMachine, type MachineNotice } from '../kernel/machine-notices.ts';
import type { Netlink } from '../kernel/netlink.ts';
import { errorMessage } from '../model/errors.ts';
import { Settling, type SettlingOptions } from '../reconcile/settling.ts';
import { MachineChanges, type MachineChangesOptions } from '../routing/machine-changes.ts';
import type { Dataplane } from './dataplane.ts';

export interface MachineWatchOptions extends Pick<MachineChangesOptions, 'isUplink' | 'isPlanned'> {
	readonly netlink: Pick<Netlink, 'links' | 'addresses'>;
	/** The node loop has to look. */
	readonly onChange: () => void;
	readonly log: Pick<Logger, 'info' | 'warn'>;
	readonly listen?: (options: ListenOptions) => { close(): void };
	readonly clock?: SettlingOptions['clock'];
}

/** An address that is taken away to be given again is not missed; a person who changes something does not wait. */
const SETTLING = { quietMs: 500, longestMs: 2000, burst: 5, refillMs: 5000 };
const REOPEN_MS = 10_000;

const isPod = (name: string): boolean => HOST_IFNAME.test(name);

export class MachineWatch {
	readonly #options: Required<Omit<MachineWatchOptions, 'clock'>>;
	readonly #changes: MachineChanges;
	readonly #settling: Settling;
	#listener: { close(): void } | undefined;
	#reopen: NodeJS.Timeout | undefined;
	/** What is known is not what there is: notices were lost, or none have come yet. */
	#isStale = true;
	/** Notices that come while what there is is read. */
	#meanwhile: MachineNotice[] | undefined;
	#failure = '';
	#closed = false;

	/** Begins at once. Changes from before are looked for, too. */
	constructor(options: MachineWatchOptions) {
		this.#options = { listen: listenToMachine, ...options };
		this.#changes = new MachineChanges({ ...options, isPod });
		const { clock } = options;
		this.#settling = new Settling({ ...SETTLING, task: () => void this.#look(), ...(clock && { clock }) });
		this.#open();
	}

	close(): void {
		this.#closed = true;
		clearTimeout(this.#reopen);
		this.#settling.close();
		this.#listener?.close();
	}

	#open(): void {
		try {
			this.#listener = this.#options.listen({
				isPod,
				onNotices: (read, isComplete) => this.#take(read, isComplete),
				onEnd: (why) => this.#fail(`the socket has ended: ${why}`),
			});
		} catch (error) {
			this.#fail(errorMessage(error));
			return;
		}
		if (this.#failure !== '') this.#options.log.info('changes of interfaces are noticed at once again');
		this.#failure = '';
		this.#lose();
	}

	/** The loop looks now and then without us. */
	#fail(why: string): void {
		this.#listener?.close();
		this.#listener = undefined;
		if (this.#closed) return;
		if (why !== this.#failure) {
			this.#options.log.warn(
				{ error: why },
				'changes of interfaces are noticed late: the kernel does not tell of them',
			);
		}
		this.#failure = why;
		this.#reopen = setTimeout(() => this.#open(), REOPEN_MS).unref();
	}

	#take(read: () => readonly MachineNotice[], isComplete: boolean): void {
		if (!isComplete) this.#lose();
		else if (this.#meanwhile !== undefined) this.#meanwhile.push(...read());
		else if (!this.#isStale && this.#changes.take(read())) this.#settling.note();
	}

	/** Everything is to be looked at, but not more often than changes. */
	#lose(): void {
		this.#isStale = true;
		this.#settling.note();
	}

	async #look(): Promise<void> {
		if (this.#isStale) await this.#readAll();
		if (!this.#closed) this.#options.onChange();
	}

	async #readAll(): Promise<void> {
		if (this.#meanwhile !== undefined) return; // a look is under way, and the one that it asks for is enough
		this.#isStale = false;
		this.#meanwhile = [];
		try {
			const { netlink } = this.#options;
			const [links, addresses] = [await netlink.links(), await netlink.addresses()];
			this.#changes.reset(links, addresses);
		} catch {
			this.#isStale = true; // the node loop meets the same and tells of it
		}
		const notices = this.#meanwhile;
		this.#meanwhile = undefined;
		if (this.#isStale || this.#changes.take(notices)) this.#settling.note();
	}
}

/** A MachineWatch for the uplinks and routes of a dataplane. */
export function watchMachine(
	config: Pick<Config, 'uplink' | 'moreUplinks'>,
	dataplane: Dataplane,
	{ onChange, log }: Pick<MachineWatchOptions, 'onChange' | 'log'>,
): MachineWatch {
	const configured = [config.uplink, ...config.moreUplinks];
	return new MachineWatch({
		...{ netlink: dataplane.netlink, log, onChange },
		isUplink: (name) => configured.includes(name) || dataplane.uplinkNames.includes(name),
		isPlanned: (dst) => dataplane.routing.plan.routes.some((route) => route.dst === dst),
	});
}
