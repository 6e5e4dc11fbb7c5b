/**
 * Learns addresses of the names that policies wait for: hears what name servers answer the pods concerned, puts it in force, and
 * delivers it. Begins to listen when the first policy names a domain. The programs deliver answers themselves while the agent is away.
 */
import { join } from 'node:path';
import type { Logger } from 'pino';
import { DnsMark, DnsState, L4Proto, ResolverKey } from '../../native/abi/generated.ts';
import { ifindexOf, PacketSocket, VIRTIO_HEADER_BYTES } from '../../native/index.ts';
import type { Config } from '../config/schema.ts';
import { DomainCache, type DomainCacheStats } from '../dns/domain-cache.ts';
import type { Interceptor, InterceptorStats } from '../dns/interceptor.ts';
import { DomainJournal } from '../dns/journal.ts';
import { planResolvers, type Resolver } from '../dns/resolvers.ts';
import { addressesInUse } from '../kernel/addresses-in-use.ts';
import type { JiffiesClock } from '../kernel/jiffies.ts';
import { Sysctl } from '../kernel/sysctl.ts';
import { type Address, addressBytes } from '../model/address.ts';
import type { ClusterChange, ClusterView } from '../model/cluster-view.ts';
import { errorMessage } from '../model/errors.ts';
import type { EventRecorder } from '../model/event.ts';
import { parseResolver } from '../model/resolver.ts';
import { patternsOf } from '../plan/policy/domain-names.ts';
import { bytesKey } from '../reconcile/table.ts';
import { DNS_DEVICES, ensureDnsDevices } from '../routing/dns-device.ts';
import { flowTables } from './collector.ts';
import { CrowdedNames } from './crowded-names.ts';
import type { Dataplane } from './dataplane.ts';

export interface DomainsOptions {
	readonly config: Pick<Config, 'nodeName' | 'stateDir' | 'dnsResolvers' | 'dnsGraceSeconds' | 'dnsAddressesPerName'>;
	readonly view: ClusterView;
	readonly dataplane: Pick<Dataplane, 'datapath' | 'netlink'>;
	readonly clock: JiffiesClock;
	readonly pods: { list(): readonly { readonly mac: string; readonly ifindex: number }[] };
	/** Puts other names of addresses in force before it returns; empty = forgotten. */
	readonly learn: (domains: ReadonlyMap<Address, ReadonlySet<string>>) => void;
	readonly events: EventRecorder;
	readonly log: Logger;
}

export interface DomainStats extends DomainCacheStats, InterceptorStats {
	/** Frames that the agent was too slow for. */
	readonly lost: number;
}

const ALIVE_MS = 500;
const SWEEP_MS = 15_000;
const REREAD_MS = 200;
const QUIET_MS = 60_000;
/** Addresses of all names; each is an entry of `cidrs`. */
const MAX_ADDRESSES = 16_384;
const NOTHING_YET: InterceptorStats = { queries: 0, answers: 0, unasked: 0, delivered: 0 };
const FIRST_KEY = new Uint8Array(4);
const KNOWN = Uint8Array.of(1, 0, 0, 0);
const GONE = new Set(['ENXIO', 'ENODEV', 'ENETDOWN']);

export class Domains {
	readonly #options: DomainsOptions;
	readonly #cache: DomainCache;
	readonly #crowded: CrowdedNames;
	readonly #journal: DomainJournal;
	#interceptor: Interceptor | undefined;
	readonly #timers: NodeJS.Timeout[] = [];
	#patterns: ReadonlySet<string>;
	#pods: ReadonlyMap<string, number> = new Map();
	#podsReadAt = 0;
	#quietUntil = 0;
	#socket: PacketSocket | undefined;
	/** Interface index that programs send to. */
	#near = 0;
	#starting: Promise<void> | undefined;
	#sweeping = false;
	#closed = false;

	/** Reads what an earlier run has learnt; nothing is heard before start(). */
	constructor(options: DomainsOptions) {
		this.#options = options;
		const { config, view, events } = options;
		const { nodeName, dnsAddressesPerName: addressesPerName } = config;
		this.#crowded = new CrowdedNames({ view, events, nodeName, addressesPerName, addresses: MAX_ADDRESSES });
		this.#patterns = patternsIn(view);
		this.#journal = new DomainJournal(join(config.stateDir, 'domains.jsonl'));
		this.#cache = new DomainCache({
			waitsFor: (name) => patternsOf(name).some((pattern) => this.#patterns.has(pattern)),
			graceMs: config.dnsGraceSeconds * 1000,
			addressesPerName,
			addresses: MAX_ADDRESSES,
			onEntry: (name, address, expiresMs) => this.#note(name, address, expiresMs),
			onFull: (name, limit) => this.#crowded.tell(name, limit),
		});
		this.#cache.restore(this.#journal.entries());
		this.#cache.takeChanges();
	}

	/** Names of all addresses. */
	all(): ReadonlyMap<Address, ReadonlySet<string>> {
		return this.#cache.all();
	}

	get stats(): DomainStats {
		const { stats = NOTHING_YET } = this.#interceptor ?? {};
		return { ...this.#cache.stats, ...stats, lost: this.#socket?.lost ?? 0 };
	}

	/** Begins to listen if a policy names a domain, and goes on with what an earlier run left. */
	async start(): Promise<void> {
		this.onPods();
		this.#followResolvers();
		if (this.#patterns.size > 0) await this.#listen();
		else this.#write(0);
		this.#timers.push(
			setInterval(() => this.#beat(), ALIVE_MS),
			setInterval(() => void this.#sweep(), SWEEP_MS),
		);
	}

	onChange({ clusterNetworkPolicies, services }: ClusterChange): void {
		if (services.size > 0) this.#followResolvers();
		if (clusterNetworkPolicies.size === 0) return;
		this.#patterns = patternsIn(this.#options.view);
		if (this.#patterns.size > 0) void this.#listen();
	}

	onPods(): void {
		this.#podsReadAt = performance.now();
		this.#pods = new Map(this.#options.pods.list().map(({ mac, ifindex }) => [mac, ifindex]));
	}

	/** From here on programs deliver answers themselves. */
	close(): void {
		this.#closed = true;
		for (const timer of this.#timers) clearInterval(timer);
		if (this.#near !== 0) this.#write(0);
		this.#socket?.close();
		this.#journal.close();
	}

	#listen(): Promise<void> {
		this.#starting ??= this.#open().catch((error: unknown) => {
			this.#starting = undefined;
			this.#options.log.error({ error: errorMessage(error) }, 'names of policies cannot be learnt');
		});
		return this.#starting;
	}

	async #open(): Promise<void> {
		const { log } = this.#options;
		const { netlink } = this.#options.dataplane;
		const { near, far } = await ensureDnsDevices({ netlink, sysctl: new Sysctl() });
		const interceptor = this.#interceptor ?? (await this.#makeInterceptor());
		this.#interceptor = interceptor;
		if (this.#closed) return;
		this.#socket?.close();
		this.#socket = new PacketSocket({ ifindex: far, mark: DnsMark.SEEN }, (frames) => interceptor.take(frames));
		this.#write(near);
		log.info({ patterns: this.#patterns.size }, 'listening to name servers');
	}

	/** What it is made of is loaded when it is needed. */
	async #makeInterceptor(): Promise<Interceptor> {
		const { Interceptor } = await import('../dns/interceptor.ts');
		return new Interceptor({
			cache: this.#cache,
			podOf: (mac) => this.#podOf(mac),
			headerBytes: VIRTIO_HEADER_BYTES,
			onLearnt: () => this.#tell(),
			onError: (error) => this.#complain(errorMessage(error), 'answer not learnt'),
			deliver: (ifindex, frame) => this.#deliver(ifindex, frame),
		});
	}

	/** Says that somebody listens. Without the device nobody does, and answers sent to it would be lost. */
	#beat(): void {
		if (this.#near === 0) return;
		if (indexOf(DNS_DEVICES.near) === this.#near) {
			this.#write(this.#near);
			return;
		}
		this.#options.log.warn({ device: DNS_DEVICES.near }, 'device of name service is gone');
		this.#write(0);
		this.#starting = undefined;
		void this.#listen();
	}

	/** Brings the devices up again if somebody has taken them down, and tries again what has failed. */
	async #repair(): Promise<void> {
		if (this.#near === 0) {
			if (this.#patterns.size > 0) await this.#listen();
			return;
		}
		const { near } = await ensureDnsDevices({ netlink: this.#options.dataplane.netlink, sysctl: new Sysctl() });
		if (near === this.#near || this.#closed) return;
		this.#starting = undefined;
		await this.#listen();
	}

	#write(ifindex: number): void {
		const { dataplane, clock } = this.#options;
		this.#near = ifindex;
		dataplane.datapath.kernel.mapSet('dns', FIRST_KEY, DnsState.encode({ ifindex, alive: clock.now() }));
	}

	/** A pod that is not known may have been attached this moment. */
	#podOf(mac: string): number | undefined {
		const found = this.#pods.get(mac);
		if (found !== undefined || performance.now() - this.#podsReadAt < REREAD_MS) return found;
		this.onPods();
		return this.#pods.get(mac);
	}

	/** A disk that is full must not keep names from being learnt. */
	#note(name: string, address: Address, expiresMs: number | null): void {
		try {
			this.#journal.write(name, address, expiresMs);
		} catch (error) {
			this.#complain(errorMessage(error), 'names of addresses will not survive the agent');
		}
	}

	/** Once a minute is enough: answers come by the thousand. */
	#complain(error: string, what: string): void {
		const now = performance.now();
		if (now < this.#quietUntil) return;
		this.#quietUntil = now + QUIET_MS;
		this.#options.log.warn({ error }, what);
	}

	#tell(): void {
		const changes = this.#cache.takeChanges();
		if (changes.size > 0) this.#options.learn(changes);
	}

	#deliver(ifindex: number, frame: Uint8Array): void {
		try {
			this.#socket?.send(ifindex, frame);
		} catch (error) {
			// the pod may have gone
			const code = error instanceof Error && 'code' in error ? String(error.code) : '';
			if (!GONE.has(code)) this.#complain(errorMessage(error), 'answer not delivered');
		}
	}

	#followResolvers(): void {
		const { view, config, log } = this.#options;
		const { kernel } = this.#options.dataplane.datapath;
		const sources = config.dnsResolvers.map(parseResolver).filter((source) => source !== undefined);
		const wanted = new Map([...planResolvers(view, sources).values()].map((each) => [bytesKey(keyOf(each)), each]));
		try {
			const there = new Set<string>();
			for (const [key] of [...kernel.mapEntries('resolvers')]) {
				if (wanted.has(bytesKey(key))) there.add(bytesKey(key));
				else kernel.mapDelete('resolvers', key);
			}
			for (const [text, resolver] of wanted) {
				if (!there.has(text)) kernel.mapSet('resolvers', keyOf(resolver), KNOWN);
			}
		} catch (error) {
			log.error({ error: errorMessage(error) }, 'name servers cannot be told to the programs');
		}
	}

	/** Repairs what is broken, and forgets what has run out, unless connections use it. Never throws. */
	async #sweep(): Promise<void> {
		if (this.#sweeping) return;
		this.#sweeping = true;
		this.#crowded.rest();
		try {
			await this.#repair();
			const questionable = this.#cache.questionable(Date.now());
			if (questionable.size === 0) return;
			const inUse = await addressesInUse(flowTables(this.#options.dataplane.datapath), questionable);
			if (this.#closed) return;
			this.#cache.expire(Date.now(), inUse);
			this.#tell();
		} catch (error) {
			this.#options.log.warn({ error: errorMessage(error) }, 'addresses of names were not looked through');
		} finally {
			this.#sweeping = false;
		}
	}
}

/** undefined = there is no such interface. */
function indexOf(name: string): number | undefined {
	try {
		return ifindexOf(name);
	} catch {
		return undefined;
	}
}

function keyOf({ address, port, protocol }: Resolver): Uint8Array {
	return ResolverKey.encode({ addr: addressBytes(address), port, proto: L4Proto[protocol] });
}

function patternsIn(view: ClusterView): ReadonlySet<string> {
	const patterns = new Set<string>();
	for (const { egress } of view.clusterNetworkPolicies.values()) {
		for (const peer of egress.flatMap(({ peers }) => peers ?? [])) {
			if (peer.kind === 'domains') for (const name of peer.names) patterns.add(name);
		}
	}
	return patterns;
}
