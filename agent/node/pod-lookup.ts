/**
 * Makes sure that a pod is known before it is attached: what policies select it, nobody can tell before. A runtime is often faster
 * than the watch, so that is waited for; then the API server is asked, once.
 */
import type { ClusterChange, ClusterView } from '../model/cluster-view.ts';
import { errorMessage } from '../model/errors.ts';
import type { Pod } from '../model/pod.ts';

/** The pod as the runtime names it. */
export interface WantedPod {
	readonly namespace: string;
	readonly name: string;
	/** '' = the runtime does not tell. */
	readonly uid: string;
}

/** What the API server says of a pod. */
export interface AskedPod {
	/** As the kubelet has it. */
	readonly uid: string;
}

export interface PodLookupOptions {
	readonly pods: ClusterView['pods'];
	/**
	 * Asks for one pod and makes it known if it is the wanted one.
	 * @returns undefined = there is none of the name
	 * @throws when it cannot be asked
	 */
	readonly ask: (pod: WantedPod, signal: AbortSignal) => Promise<AskedPod | undefined>;
	/** How long the watch is waited for. */
	readonly waitMs: number;
}

export type LookedUp = { readonly known: true } | { readonly known: false; readonly why: string };

interface Waiter {
	readonly pod: WantedPod;
	readonly found: () => void;
}

const KNOWN: LookedUp = { known: true };
/** For the one question. */
const ASK_MS = 5000;

export class PodLookup {
	readonly #options: PodLookupOptions;
	readonly #waiters = new Set<Waiter>();

	constructor(options: PodLookupOptions) {
		this.#options = options;
	}

	/** Pods have changed. */
	onChange({ pods }: Pick<ClusterChange, 'pods'>): void {
		for (const waiter of this.#waiters) {
			if (pods.has(keyOf(waiter.pod)) && this.#isKnown(waiter.pod)) waiter.found();
		}
	}

	/** Never throws; resolves at once when the pod is known, and not later than the signal. */
	async find(pod: WantedPod, signal: AbortSignal): Promise<LookedUp> {
		if (this.#isKnown(pod)) return KNOWN;
		// an older pod of the name: the watch will bring its end, but that may take long
		const there = this.#options.pods.get(keyOf(pod));
		if (there === undefined && (await this.#wait(pod, signal))) return KNOWN;
		try {
			const asked = await this.#options.ask(pod, AbortSignal.any([signal, AbortSignal.timeout(ASK_MS)]));
			if (asked === undefined) return { known: false, why: 'the API server does not know it' };
			if (pod.uid === '' || asked.uid === pod.uid) return KNOWN;
			return { known: false, why: `the API server knows one of that name with uid ${asked.uid}` };
		} catch (error) {
			return { known: false, why: `the API server cannot be asked: ${errorMessage(error)}` };
		}
	}

	#isKnown(wanted: WantedPod): boolean {
		return isSame(this.#options.pods.get(keyOf(wanted)), wanted);
	}

	/** @returns whether it came */
	#wait(pod: WantedPod, signal: AbortSignal): Promise<boolean> {
		const { promise, resolve } = Promise.withResolvers<boolean>();
		const waiter: Waiter = { pod, found: () => resolve(true) };
		const giveUp = () => resolve(false);
		const timer = setTimeout(giveUp, this.#options.waitMs);
		signal.addEventListener('abort', giveUp, { once: true });
		this.#waiters.add(waiter);
		return promise.finally(() => {
			clearTimeout(timer);
			signal.removeEventListener('abort', giveUp);
			this.#waiters.delete(waiter);
		});
	}
}

function keyOf({ namespace, name }: WantedPod): string {
	return `${namespace}/${name}`;
}

function isSame(pod: Pod | undefined, { uid }: WantedPod): boolean {
	return pod !== undefined && (uid === '' || pod.uid === uid);
}
