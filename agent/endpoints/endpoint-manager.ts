/**
 * The pods attached to this node: attach, detach, check, collect garbage. One container at a time, different ones side
 * by side. The ledger is the truth; memory, maps and interfaces follow it, and start() makes them agree again.
 */
import { setLink } from '../kernel/netlink.ts';
import type { Address, Cidr } from '../model/address.ts';
import { errorMessage, FairleadError } from '../model/errors.ts';
import type { HostPort } from '../model/host-port.ts';
import { AddressForgetter } from './address-forgetter.ts';
import { adoptAttachments, findLeakedLinks } from './adopt.ts';
import { findChainedLink, makePair, type PodLink, prepareWiring } from './attach-steps.ts';
import { type Attachment, type AttachmentKey, attachmentId, hostIfnameOf, newMac, ownerOf } from './attachment.ts';
import { ChangeListeners } from './change-listeners.ts';
import { checkAttachment } from './check.ts';
import type { AdoptReport, AttachRequest, CheckRequest, EndpointDeps, GcReport } from './endpoint-deps.ts';
import { type EndpointIdentity, EndpointRows, UNKNOWN_POD } from './endpoint-rows.ts';
import { hostPortsOf, requireFreePorts } from './host-ports.ts';
import { Ipam, type PoolUsage } from './ipam.ts';
import { KeyedMutex } from './keyed-mutex.ts';
import type { ReleasedRecord } from './ledger.ts';
import { LinkReaper } from './link-reaper.ts';
import { cookieAt, cookieOf, netnsKey, PodNetns } from './netns.ts';
import { REAP_GROUP } from './pod-wiring.ts';
import { settledValue, throwIfAborted } from './settled.ts';
import { UndoStack } from './undo-stack.ts';

/** An attachment with what is known of it only while the node runs. */
export interface LiveEndpoint extends Attachment {
	/** Host side interface. */
	readonly ifindex: number;
	readonly identity: EndpointIdentity;
	/** Number of its network namespace, as BPF programs see it; 0 = not known. */
	readonly netnsCookie: bigint;
}

const FORGET_RETRY_MS = 10_000;

interface ConnectOptions {
	readonly netns: PodNetns;
	readonly chained: PodLink | undefined;
	readonly signal: AbortSignal;
	readonly undo: UndoStack;
}

export class EndpointManager {
	readonly #deps: EndpointDeps;
	readonly #now: () => number;
	readonly #ipam: Ipam;
	readonly #rows: EndpointRows;
	readonly #reaper: LinkReaper;
	readonly #forgetter: AddressForgetter;
	readonly #locks = new KeyedMutex();
	readonly #live = new Map<string, LiveEndpoint>();
	/** Being attached right now: their names and ports are taken. */
	readonly #starting = new Map<string, Attachment>();
	readonly #cooling = new Set<ReleasedRecord>();
	readonly #listeners: ChangeListeners;
	#background: Promise<unknown> = Promise.resolve();

	constructor(deps: EndpointDeps) {
		this.#deps = deps;
		this.#now = deps.now ?? Date.now;
		this.#ipam = new Ipam({ podCidrs: deps.podCidrs, now: this.#now });
		this.#rows = new EndpointRows(deps.kernel);
		this.#reaper = new LinkReaper({
			netlink: deps.netlink,
			delayMs: deps.reapDelayMs ?? 250,
			onError: (error) => deps.log.warn({ error: errorMessage(error) }, 'removal of interfaces failed'),
		});
		this.#forgetter = this.#newForgetter();
		this.#listeners = new ChangeListeners((error) =>
			deps.log.warn({ error: errorMessage(error) }, 'a change of attachments was not followed'),
		);
	}

	#newForgetter(): AddressForgetter {
		const { forgetAddresses, forgetDelayMs, log } = this.#deps;
		return new AddressForgetter({
			forget: async (addresses) => forgetAddresses?.(addresses),
			onForgotten: (addresses) => this.#ipam.clean(addresses),
			onError: (error) => log.warn({ error: errorMessage(error) }, 'old state of addresses not removed'),
			delayMs: forgetDelayMs ?? 1000,
			retryMs: FORGET_RETRY_MS,
		});
	}

	/** Makes ledger, interfaces and maps agree after a start. Call once, before anything else. */
	async start(): Promise<AdoptReport> {
		const { live, released, problems } = await this.#deps.ledger.load();
		const adoption = await adoptAttachments(live, this.#deps, this.#rows);
		for (const { attachment, ifindex } of adoption.adopted) {
			this.#ipam.claim(attachment.mode === 'veth' ? attachment.addresses : []);
			const identity = this.#rows.identityOf(attachment.index);
			const netnsCookie = await cookieOf(attachment.netns, this.#deps.netnsCookie);
			this.#live.set(attachmentId(attachment), { ...attachment, ifindex, identity, netnsCookie });
		}
		const erasedRows = this.#rows.eraseUnclaimed();
		for (const record of released) {
			if (record.bootId === this.#deps.bootId) this.#coolDown(this.#withoutHeld(record));
			else await this.#deps.ledger.forget(record);
		}
		for (const attachment of adoption.dropped) await this.#drop(attachment);
		const leakedLinks = await this.#removeLeaks();
		return {
			adopted: adoption.adopted.length,
			dropped: adoption.dropped,
			leakedLinks,
			erasedRows,
			problems: [...problems, ...adoption.problems],
		};
	}

	/** A record whose removal failed says nothing of addresses that were given to another pod since: those stay with it. */
	#withoutHeld(record: ReleasedRecord): ReleasedRecord {
		return { ...record, addresses: record.addresses.filter((address) => !this.#ipam.holds(address)) };
	}

	/** The kernel has forgotten all of another boot, so those addresses are free at once: the same pods may need them now. */
	async #drop(attachment: Attachment): Promise<void> {
		const { ledger, programs, bootId } = this.#deps;
		if (attachment.bootId === bootId) {
			this.#coolDown(this.#withoutHeld(await ledger.release(attachment, this.#now())));
		} else await ledger.remove(attachment);
		await programs.detach(attachment.hostIfname);
	}

	/**
	 * Makes an attachment: when it returns, the interface works, its programs run and the record is durable. When it
	 * throws, nothing is left of it.
	 * @throws ENDPOINT_EXISTS, NETNS_INVALID, ADDRESS_EXHAUSTED, ADDRESS_COOLING, ENDPOINT_LIMIT, HOST_PORT_TAKEN,
	 *         CHAIN_UNSUPPORTED, LEDGER_WRITE, NETLINK_REFUSED, ENDPOINT_TIMEOUT
	 */
	async attach(request: AttachRequest): Promise<LiveEndpoint> {
		return this.#locks.run(request.containerId, async () => {
			const signal = request.signal ?? new AbortController().signal;
			throwIfAborted(signal, request);
			const netns = new PodNetns(request.netns, { allowOwn: request.allowOwnNetns === true });
			try {
				await this.#makeRoom(request, netns);
				return await this.#attachOrUndo(request, netns, signal);
			} finally {
				netns.close();
			}
		});
	}

	/** A record whose interface is gone, or an interface that still waits for removal, must not be in the way. */
	async #makeRoom(key: AttachmentKey, netns: PodNetns): Promise<void> {
		const existing = this.#live.get(attachmentId(key));
		if (existing) {
			const link = await this.#deps.netlink.link({ name: existing.hostIfname });
			if (link?.ifindex === existing.ifindex) {
				const text = `cannot attach ${ownerOf(existing)}: container ${key.containerId} already has ${key.ifname}`;
				throw new FairleadError('ENDPOINT_EXISTS', text);
			}
			await this.#detachLive(existing);
		}
		const name = hostIfnameOf(key);
		const there = { key: netnsKey(netns), cookie: 0n };
		if (!this.#reaper.blocks(name, there)) return;
		const cookie = await cookieAt(netns.fdPath, this.#deps.netnsCookie);
		if (this.#reaper.blocks(name, { ...there, cookie })) await this.#reaper.flush();
	}

	async #attachOrUndo(request: AttachRequest, netns: PodNetns, signal: AbortSignal): Promise<LiveEndpoint> {
		const undo = new UndoStack();
		try {
			const endpoint = await this.#attachSteps(request, netns, signal, undo);
			this.#live.set(attachmentId(request), endpoint);
			this.#starting.delete(attachmentId(request));
			this.#listeners.notifySoon();
			return endpoint;
		} catch (error) {
			await undo.unwind((what, failure) =>
				this.#deps.log.warn({ what, error: errorMessage(failure) }, 'undo of an attachment failed'),
			);
			this.#starting.delete(attachmentId(request));
			this.#listeners.notify();
			throw error;
		}
	}

	async #attachSteps(
		request: AttachRequest,
		netns: PodNetns,
		signal: AbortSignal,
		undo: UndoStack,
	): Promise<LiveEndpoint> {
		const chained = request.chained ? await findChainedLink(request, netns, this.#deps.netlink) : undefined;
		const attachment = this.#reserve(request, netns, chained, undo);
		// The disk is the slowest part, so it works beside the rest; what counts is that the record is durable at the end.
		const written = this.#deps.ledger.write(attachment);
		undo.push('remove ledger record', async () => {
			await Promise.allSettled([written]);
			await this.#deps.ledger.remove(request);
		});
		const connected = this.#connect(request, attachment, { netns, chained, signal, undo });
		const [endpoint, durable] = await Promise.allSettled([connected, written]);
		settledValue(durable);
		throwIfAborted(signal, request);
		return settledValue(endpoint);
	}

	/** Interface, rows, programs, addresses: in this order, so that nothing flows before all is in place. */
	async #connect(request: AttachRequest, attachment: Attachment, o: ConnectOptions): Promise<LiveEndpoint> {
		const deps = this.#deps;
		const linked = o.chained ?? makePair(attachment, o.netns, deps, o.undo);
		const cookie = cookieAt(o.netns.fdPath, deps.netnsCookie);
		const [pair, known] = await Promise.allSettled([linked, this.#identify(attachment, o.signal)]);
		const [link, identity] = [settledValue(pair), settledValue(known)];
		throwIfAborted(o.signal, request);
		o.undo.push('erase map rows', () => this.#rows.erase(attachment));
		this.#rows.write(attachment, link.hostIfindex, identity);
		o.undo.push('detach programs', () => deps.programs.detach(attachment.hostIfname));
		const [attached, prepared] = await Promise.allSettled([
			deps.programs.attach(link.hostIfindex, attachment.hostIfname),
			attachment.mode === 'veth' ? prepareWiring(attachment, link, o.netns, deps) : undefined,
		]);
		settledValue(attached);
		const wire = settledValue(prepared);
		throwIfAborted(o.signal, request);
		await wire?.();
		return { ...attachment, ifindex: link.hostIfindex, identity, netnsCookie: await cookie };
	}

	async #identify({ pod, addresses }: Attachment, signal: AbortSignal): Promise<EndpointIdentity> {
		return this.#deps.identify ? this.#deps.identify(pod, signal, addresses) : UNKNOWN_POD;
	}

	/** Takes address, row and ports. Synchronous, so that attachments side by side cannot take the same. */
	#reserve(request: AttachRequest, netns: PodNetns, chained: PodLink | undefined, undo: UndoStack): Attachment {
		const owner = ownerOf(request);
		requireFreePorts(request.hostPorts, owner, [...this.#live.values(), ...this.#starting.values()]);
		const addresses = request.chained ? [...request.chained.addresses] : this.#allocateAddresses(owner, undo);
		const { index, gen } = this.#rows.allocate(owner);
		undo.push('give back endpoint row', () => this.#rows.giveBack(index));
		const attachment: Attachment = {
			version: 1,
			containerId: request.containerId,
			ifname: request.ifname,
			network: request.network,
			mode: chained ? 'chained' : 'veth',
			bootId: this.#deps.bootId,
			netns: { path: netns.path, dev: netns.dev, ino: netns.ino },
			pod: request.pod,
			index,
			gen,
			addresses,
			mac: chained ? chained.mac : newMac(this.#deps.randomBytes),
			hostMac: chained ? chained.hostMac : newMac(this.#deps.randomBytes),
			hostIfname: chained ? chained.hostIfname : hostIfnameOf(request),
			mtu: chained ? chained.mtu : this.#deps.mtu(),
			hostPorts: [...request.hostPorts],
			createdAtMs: this.#now(),
		};
		this.#starting.set(attachmentId(request), attachment);
		return attachment;
	}

	#allocateAddresses(owner: string, undo: UndoStack): Address[] {
		this.#expireCooled();
		const addresses = this.#ipam.allocate(owner);
		undo.push('free addresses', () => this.#ipam.free(addresses));
		return addresses;
	}

	/**
	 * Ends an attachment: when it returns, that is durable, nothing reaches the pod any more and its addresses are in
	 * cool-down. Interfaces are removed shortly after, many at a time.
	 * @returns false when there was none
	 * @throws LEDGER_WRITE
	 */
	async detach(key: AttachmentKey): Promise<boolean> {
		return this.#locks.run(key.containerId, async () => {
			const existing = this.#live.get(attachmentId(key));
			if (existing) await this.#detachLive(existing);
			return existing !== undefined;
		});
	}

	async #detachLive(endpoint: LiveEndpoint): Promise<void> {
		const [released, downed] = await Promise.allSettled([
			this.#deps.ledger.release(endpoint, this.#now()),
			this.#takeDown(endpoint),
		]);
		const record = settledValue(released);
		this.#live.delete(attachmentId(endpoint));
		this.#rows.erase(endpoint);
		this.#rows.giveBack(endpoint.index);
		this.#coolDown(record);
		this.#listeners.notify();
		if (downed.status === 'rejected') {
			this.#deps.log.warn({ link: endpoint.hostIfname, error: errorMessage(downed.reason) }, 'link not taken down');
		}
		const forgetPrograms = async () => this.#deps.programs.detach(endpoint.hostIfname);
		if (endpoint.mode === 'chained') await forgetPrograms();
		else {
			const netns = { key: netnsKey(endpoint.netns), cookie: endpoint.netnsCookie };
			this.#reaper.add({ name: endpoint.hostIfname, netns, gone: forgetPrograms });
		}
	}

	async #takeDown(endpoint: LiveEndpoint): Promise<void> {
		if (endpoint.mode === 'chained') return;
		const down = setLink({ ifindex: endpoint.ifindex }, { up: false, group: REAP_GROUP });
		await this.#deps.netlink.apply([{ ...down, tolerate: ['ENODEV'] }]);
	}

	/** Quarantines the addresses of a released record and lets go of them when their time has come. */
	#coolDown(record: ReleasedRecord): void {
		const { addresses } = record;
		// A clock that was set back must not lengthen the wait.
		this.#ipam.release(addresses, Math.min(record.releasedAtMs, this.#now()) + this.#deps.coolDownMs);
		this.#cooling.add(record);
		this.#forgetter.add(addresses);
	}

	/** Removes the files of what cooled down. */
	#expireCooled(): void {
		for (const record of this.#cooling) {
			if (record.addresses.length > 0 && !this.#ipam.expire(record.addresses)) continue;
			this.#cooling.delete(record);
			this.#inBackground(() => this.#deps.ledger.forget(record), 'record of a cool-down not removed');
		}
	}

	#inBackground(task: () => Promise<void>, failure: string): void {
		const run = task().catch((error) => this.#deps.log.warn({ error: errorMessage(error) }, failure));
		this.#background = Promise.all([this.#background, run]);
	}

	/** @throws ENDPOINT_UNKNOWN, ENDPOINT_CHANGED with everything that is wrong */
	async check(request: CheckRequest): Promise<void> {
		return this.#locks.run(request.containerId, async () => {
			const endpoint = this.#live.get(attachmentId(request));
			if (!endpoint) {
				const text = `cannot check container ${request.containerId}: no attachment ${request.ifname} is known`;
				throw new FairleadError('ENDPOINT_UNKNOWN', text);
			}
			await checkAttachment(endpoint, request, this.#deps, this.#rows);
		});
	}

	/** Ends the attachments of a network that are not in `valid`, and removes leaked interfaces. Goes on after errors. */
	async collectGarbage(network: string, valid: readonly AttachmentKey[]): Promise<GcReport> {
		const keep = new Set(valid.map(attachmentId));
		const removed: Attachment[] = [];
		const problems: string[] = [];
		for (const [id, endpoint] of [...this.#live]) {
			if (endpoint.network !== network || keep.has(id)) continue;
			try {
				if (await this.detach(endpoint)) removed.push(endpoint);
			} catch (error) {
				problems.push(errorMessage(error));
			}
		}
		try {
			await this.#removeLeaks();
			await this.#reaper.flush();
		} catch (error) {
			problems.push(errorMessage(error));
		}
		return { removed, problems };
	}

	/**
	 * Looks for attachments whose interface went with its namespace and whose DEL never came, for leaked interfaces,
	 * and lets addresses out of cool-down. Cheap; meant to run once a minute.
	 * @returns what was ended
	 */
	async sweep(): Promise<readonly Attachment[]> {
		this.#expireCooled();
		const links = new Map((await this.#deps.netlink.links('veth')).map((link) => [link.name, link.ifindex]));
		const ended: Attachment[] = [];
		for (const endpoint of [...this.#live.values()]) {
			if (links.get(endpoint.hostIfname) === endpoint.ifindex) continue;
			const link = await this.#deps.netlink.link({ name: endpoint.hostIfname }); // it may be younger than the list
			if (link?.ifindex !== endpoint.ifindex && (await this.detach(endpoint))) ended.push(endpoint);
		}
		await this.#removeLeaks();
		return ended;
	}

	async #removeLeaks(): Promise<string[]> {
		const known = new Set([...this.#live.values(), ...this.#starting.values()].map((each) => each.hostIfname));
		const leaked = await findLeakedLinks(this.#deps.netlink, known);
		const news = leaked.filter((name) => !this.#reaper.blocks(name) && !this.#isKnown(name));
		await this.#deps.netlink.send(news.map((name) => setLink({ name }, { up: false, group: REAP_GROUP })));
		for (const name of news) {
			this.#reaper.add({ name, gone: async () => this.#deps.programs.detach(name) });
		}
		return news;
	}

	#isKnown(hostIfname: string): boolean {
		const all = [...this.#live.values(), ...this.#starting.values()];
		return all.some((each) => each.hostIfname === hostIfname);
	}

	/** Tells the dataplane who a pod is. @returns false when it is not attached */
	setIdentity(key: AttachmentKey, identity: EndpointIdentity): boolean {
		const endpoint = this.#live.get(attachmentId(key));
		if (!endpoint) return false;
		this.#rows.identify(endpoint, endpoint.ifindex, identity);
		this.#live.set(attachmentId(key), { ...endpoint, identity });
		return true;
	}

	/** Attachments that are being made: they have their addresses and rows, and come to be in list() or fail. */
	attaching(): Attachment[] {
		return [...this.#starting.values()];
	}

	/** All attachments, sorted by endpoint index. Their identities are those of the last setIdentity(); see current(). */
	list(): LiveEndpoint[] {
		return [...this.#live.values()].sort((a, b) => a.index - b.index);
	}

	/** list() with the identities that the rows have now. */
	current(): LiveEndpoint[] {
		return this.list().map((endpoint) => ({ ...endpoint, identity: this.#rows.identityOf(endpoint.index) }));
	}

	hostPorts(): HostPort[] {
		return hostPortsOf(this.#live.values());
	}

	usage(): PoolUsage[] {
		return this.#ipam.usage();
	}

	/** The node's pod CIDRs have changed; existing pods keep their addresses. */
	setPodCidrs(podCidrs: readonly Cidr[]): void {
		this.#ipam.setPodCidrs(podCidrs);
	}

	/** Calls `listener` after every attachment and detachment. @returns how to stop that */
	onChange(listener: () => void): () => void {
		return this.#listeners.add(listener);
	}

	/** Finishes what is under way. Attachments stay as they are. */
	async close(): Promise<void> {
		this.#listeners.close();
		await this.#reaper.flush();
		await this.#forgetter.close();
		await this.#background;
		await this.#deps.ledger.close();
	}
}
