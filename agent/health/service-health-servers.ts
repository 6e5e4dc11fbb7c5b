/**
 * Opens and closes the health check servers that services want. One change at a time, in the order of the calls; what
 * cannot be opened is a problem by the name Kubernetes has for it, and is tried again at the next sync.
 */
import { errorMessage } from '../model/errors.ts';
import { type EventReason, type EventRecorder, NO_EVENTS, serviceRef } from '../model/event.ts';
import type { HttpRoute, HttpServer } from './http-server.ts';
import { startAnswerServer } from './http-server.ts';
import type { HealthServerPlan } from './service-health.ts';
import { serviceHealthAnswer } from './service-health.ts';

/** Reason of the event that kube-proxy writes on the Service. */
export const BIND_FAILED = 'FailedToStartServiceHealthcheck' satisfies EventReason;

export interface ServiceHealthOptions {
	/** Whether the maps follow the cluster for a service ('namespace/name'); asked at every request. */
	readonly proxyHealthy: (owner: string) => boolean;
	/** Called with the problems whenever they change. */
	readonly onProblems?: (problems: readonly string[]) => void;
	/** Told of each Service whose port cannot be opened, at each attempt. */
	readonly events?: EventRecorder;
	/** Default: a real socket. */
	readonly listen?: (host: string, port: number, answer: HttpRoute) => Promise<HttpServer>;
}

interface Wanted {
	readonly owner: string;
	readonly plan: HealthServerPlan;
}

export class ServiceHealthServers {
	readonly #options: Required<Omit<ServiceHealthOptions, 'onProblems'>> & Pick<ServiceHealthOptions, 'onProblems'>;
	readonly #plans = new Map<string, readonly HealthServerPlan[]>();
	/** By key of the socket. */
	readonly #open = new Map<string, { readonly owner: string; readonly server: HttpServer }>();
	#problems: readonly string[] = [];
	#work: Promise<void> = Promise.resolve();
	#scheduled = false;
	#closed = false;

	constructor(options: ServiceHealthOptions) {
		this.#options = { listen: startAnswerServer, events: NO_EVENTS, ...options };
	}

	/** What could not be opened at the last attempt. */
	get problems(): readonly string[] {
		return this.#problems;
	}

	/** Servers of some owners ('namespace/name'); an empty list closes. Counts are in force at once. */
	update(plans: ReadonlyMap<string, readonly HealthServerPlan[]>): void {
		for (const [owner, wanted] of plans) {
			if (wanted.length > 0) this.#plans.set(owner, wanted);
			else this.#plans.delete(owner);
		}
		this.sync();
	}

	/** Tries again what failed. */
	sync(): void {
		if (this.#scheduled || this.#closed) return;
		this.#scheduled = true;
		this.#work = this.#work.then(() => this.#apply());
	}

	/** Resolves when what was asked for has been tried. */
	async idle(): Promise<void> {
		await this.#work;
	}

	async close(): Promise<void> {
		this.#closed = true;
		await this.#work;
		await this.#closeExcept(new Map());
	}

	async #apply(): Promise<void> {
		this.#scheduled = false;
		const wanted = new Map<string, Wanted>();
		const problems: string[] = [];
		for (const owner of [...this.#plans.keys()].sort()) {
			for (const plan of this.#plans.get(owner) ?? []) {
				const holder = wanted.get(plan.key)?.owner;
				if (holder === undefined) wanted.set(plan.key, { owner, plan });
				else problems.push(this.#refused(owner, plan, `taken by Service ${holder}`));
			}
		}
		await this.#closeExcept(wanted);
		for (const [key, { owner, plan }] of wanted) {
			if (this.#open.has(key)) continue;
			try {
				const server = await this.#options.listen(plan.address, plan.port, () => this.#answer(owner, key));
				this.#open.set(key, { owner, server });
			} catch (error) {
				problems.push(this.#refused(owner, plan, errorMessage(error)));
			}
		}
		this.#report(problems);
	}

	async #closeExcept(wanted: ReadonlyMap<string, Wanted>): Promise<void> {
		for (const [key, { owner, server }] of this.#open) {
			if (wanted.get(key)?.owner === owner) continue;
			this.#open.delete(key);
			await server.close();
		}
	}

	#answer(owner: string, key: string) {
		const plan = this.#plans.get(owner)?.find((each) => each.key === key);
		if (plan === undefined) return { status: 503, body: 'no longer served here\n' };
		return serviceHealthAnswer(plan, this.#options.proxyHealthy(owner));
	}

	/** @returns the problem for people */
	#refused(owner: string, { address, port }: HealthServerPlan, why: string): string {
		const text = `health check port ${port} at ${address}: ${why}`;
		this.#options.events.event(serviceRef(owner), 'Warning', BIND_FAILED, `node cannot open ${text}`);
		return `${BIND_FAILED}: Service ${owner}: ${text}`;
	}

	#report(problems: readonly string[]): void {
		const changed = problems.join() !== this.#problems.join();
		this.#problems = problems;
		if (changed) this.#options.onProblems?.(problems);
	}
}
