/**
 * XDP on the uplink: whether and how, why not, and the next hops that it needs. Neighbours are read again every few seconds, because
 * XDP asks nobody: a row that is not confirmed in time is left to tc.
 */
import type { Logger } from 'pino';
import type { Config } from '../config/schema.ts';
import { type ActivationReport, isXdpLink } from '../kernel/datapath.ts';
import type { JiffiesClock } from '../kernel/jiffies.ts';
import { type Netlink, replaceNeighbour } from '../kernel/netlink.ts';
import type { Address } from '../model/address.ts';
import { errorMessage } from '../model/errors.ts';
import { planXdpNodes, xdpDoubt, xdpObstacle } from '../plan/xdp.ts';
import type { Kernel } from '../reconcile/kernel.ts';
import type { NodeRows } from '../reconcile/nodes.ts';
import { XDP_TRUST_S, XdpNodes, xdpTargets } from '../reconcile/xdp-nodes.ts';

export interface XdpOptions {
	readonly mode: Exclude<Config['xdp'], 'off'>;
	readonly kernel: Kernel;
	/** What is in `nodes`. */
	readonly nodes: () => NodeRows;
	readonly netlink: Netlink;
	readonly clock: JiffiesClock;
	readonly log: Logger;
}

/** How often refresh() should be called, in milliseconds. */
export const XDP_REFRESH_MS = 10_000;

/** Until a neighbour that was asked for has answered. */
const ASK_AGAIN_MS = 1000;

/** @returns undefined = the interface shall have XDP */
export async function whyNoXdp(
	netlink: Pick<Netlink, 'link'>,
	ifindex: number,
	mode: XdpOptions['mode'],
): Promise<{ readonly device: string; readonly obstacle: string } | undefined> {
	if (mode === 'generic') return undefined;
	const link = await netlink.link({ ifindex });
	const obstacle =
		link === undefined ? 'it is gone' : (xdpObstacle(link) ?? (mode === 'auto' ? xdpDoubt(link) : undefined));
	return obstacle === undefined ? undefined : { device: link?.name ?? `interface ${ifindex}`, obstacle };
}

export class Xdp {
	readonly #options: XdpOptions;
	readonly #nodes: XdpNodes;
	#state = 'not attached yet';
	#attached = false;
	#device = 0;
	#wanted: 'native' | 'generic' | undefined;
	#refreshing: Promise<void> = Promise.resolve();
	#addresses: readonly Address[] = [];
	#askAgain: NodeJS.Timeout | undefined;

	constructor(options: XdpOptions) {
		this.#options = options;
		this.#nodes = new XdpNodes(options.kernel);
	}

	/** For people: 'native', 'generic' or why not. */
	get state(): string {
		return this.#state;
	}

	/** How the uplink shall have XDP; undefined = not at all, and `state` says why. */
	async modeFor(ifindex: number): Promise<'native' | 'generic' | undefined> {
		const { mode, netlink } = this.#options;
		const why = await whyNoXdp(netlink, ifindex, mode);
		this.#wanted = mode === 'auto' ? 'native' : mode;
		this.#device = ifindex;
		if (why === undefined) return this.#wanted;
		this.#attached = false;
		this.#state = `off: tc serves ${why.device} alone: ${why.obstacle}`;
		this.#wanted = undefined;
		return undefined;
	}

	/** Notes what became of the attachment. */
	onAttached(report: ActivationReport): void {
		if (this.#wanted === undefined) return;
		const failure = report.failed.find(({ name }) => isXdpLink(name));
		this.#attached = failure === undefined;
		const state = failure === undefined ? this.#wanted : `off: tc serves the uplink alone: ${failure.message}`;
		if (state === this.#state) return;
		this.#state = state;
		this.#options.log.info({ xdp: state }, 'XDP of the uplink');
	}

	/** The table of nodes has changed. */
	onNodes(): void {
		if (this.#addresses.length > 0) void this.refresh(this.#addresses);
	}

	/** Reads routes and neighbours and puts deadlines off; one after the other. Never throws: what is not confirmed ends by itself. */
	refresh(addresses: readonly Address[]): Promise<void> {
		this.#addresses = addresses;
		this.#refreshing = this.#refreshing.then(() =>
			this.#refresh(addresses).catch((error) =>
				this.#options.log.warn({ error: errorMessage(error) }, 'next hops for XDP could not be read'),
			),
		);
		return this.#refreshing;
	}

	async #refresh(addresses: readonly Address[]): Promise<void> {
		if (!this.#attached) return;
		const { nodes, netlink, clock, log } = this.#options;
		const machine = {
			addresses,
			devices: [this.#device],
			links: await netlink.links(),
			routes: [...(await netlink.routes(4)), ...(await netlink.routes(6))],
			neighbours: [...(await netlink.neighbours(4)), ...(await netlink.neighbours(6))],
		};
		const { rows, unresolved } = planXdpNodes(xdpTargets(nodes()), machine);
		const changed = this.#nodes.apply(rows, (clock.now() + XDP_TRUST_S * clock.hz) >>> 0);
		if (changed) log.debug({ nodes: rows.length, unresolved: unresolved.length }, 'next hops for XDP changed');
		if (unresolved.length === 0) return;
		await netlink.send(unresolved.map((next) => replaceNeighbour({ ...next, kind: 'use' })));
		this.#askAgain ??= setTimeout(() => {
			this.#askAgain = undefined;
			void this.refresh(this.#addresses);
		}, ASK_AGAIN_MS).unref();
	}
}
