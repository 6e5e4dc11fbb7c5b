/**
 * Ends sockets that the socket hooks have connected to a backend which is gone: no packet of theirs passes the datapath's tables, so
 * they would wait for an address that nobody has, or that another pod gets. Only sockets that went through the service are
 * touched: they are in sock_rev with their cookie. Which of them may go on is the caller's business.
 * Needs CONFIG_INET_DIAG_DESTROY (SOCK_DESTROY, kernel 4.5); without it such sockets end by their own time-outs.
 */
import { SockRevEntry, SockRevKey } from '../../native/abi/generated.ts';
import type { Address } from '../model/address.ts';
import { addressBytes, addressOfBytes } from '../model/address.ts';
import { errorMessage } from '../model/errors.ts';
import type { NetlinkRequest } from './netlink.ts';
import { decodeReply, encodeMessage, type NetlinkMessage, type NetlinkReply } from './netlink-codec.ts';
import {
	type DiagSocket,
	destroySocket,
	listConnected,
	NETLINK_SOCK_DIAG,
	NO_SOCKET,
	type Peer,
	parseDiagSocket,
} from './sock-diag-codec.ts';

/** A backend that serves nothing any more, as far as one service port goes. */
export interface GoneBackend extends Peer {
	/** Sockets that came by another one are not the service's. */
	readonly frontends: readonly ServiceEnd[];
	/** Paths of the only network namespaces to look into; undefined among them is the node's own. Without it: all. */
	readonly where?: ReadonlySet<string | undefined>;
}

/** Address and port under which a service port answers. */
export interface ServiceEnd {
	readonly address: Address;
	readonly port: number;
}

/** Whether clients reach a backend by a frontend. */
export type LeadsTo = (frontend: ServiceEnd, backend: Peer) => boolean;

export interface SockDestroyOptions<B extends GoneBackend = GoneBackend> {
	/** `netlinkRequest` of native/index.ts. */
	readonly request: NetlinkRequest;
	/** Value of sock_rev; undefined = no such entry. */
	readonly lookUp: (key: Uint8Array) => Uint8Array | undefined;
	readonly remove: (key: Uint8Array) => void;
	/** Backends may be back. Asked after sockets have been listed, so that none is ended that began since. */
	readonly leadsTo: LeadsTo;
	/** Which sockets to leave alone for now; default: none. */
	readonly spares?: (backend: B, socket: DiagSocket) => boolean;
	/** Paths of the network namespaces of all pods; the node's own is always looked at. */
	readonly namespaces: () => readonly string[];
}

export interface SockDestroyReport<B extends GoneBackend = GoneBackend> {
	/** Sockets that were ended. */
	readonly destroyed: number;
	/** Namespaces that could not be looked at, and refusals. */
	readonly problems: readonly string[];
	/** Backends with sockets that were spared, and where. */
	readonly left: readonly B[];
}

/** One socket of the addon each: more would only queue for the worker threads. */
const PARALLEL = 2;

/** Whether this kernel can end sockets. @returns why not; '' = it can */
export async function probeSockDestroy(request: NetlinkRequest): Promise<string> {
	const list = listConnected({ address: '127.0.0.1', port: 1, proto: 17 }).slice(0, 1);
	const [listed, ended] = await send(request, undefined, [...list, destroySocket(NO_SOCKET, 17)]);
	if (listed?.code !== undefined) return `the kernel cannot list sockets (${listed.code}): CONFIG_INET_UDP_DIAG`;
	if (ended?.code === 'ENOENT') return '';
	return `the kernel cannot end sockets (${ended?.code ?? 'no answer'}): CONFIG_INET_DIAG_DESTROY`;
}

/** Ends the sockets of all namespaces that are connected to these backends through their service. Throws only what `namespaces` throws. */
export async function destroySockets<B extends GoneBackend>(
	backends: readonly B[],
	options: SockDestroyOptions<B>,
): Promise<SockDestroyReport<B>> {
	if (backends.length === 0) return { destroyed: 0, problems: [], left: [] };
	const waiting: (string | undefined)[] = [undefined, ...new Set(options.namespaces())];
	const problems: string[] = [];
	const left = new Map<B, Set<string | undefined>>();
	let destroyed = 0;
	const work = async (): Promise<void> => {
		while (waiting.length > 0) {
			const netns = waiting.shift();
			try {
				const report = await destroyIn(netns, backends, options);
				destroyed += report.destroyed;
				problems.push(...report.problems);
				for (const backend of report.left) {
					const where = left.get(backend) ?? new Set();
					left.set(backend, where.add(netns));
				}
			} catch (error) {
				problems.push(errorMessage(error));
			}
		}
	};
	await Promise.all(Array.from({ length: PARALLEL }, work));
	return { destroyed, problems, left: [...left].map(([backend, where]) => ({ ...backend, where })) };
}

interface Victim {
	readonly socket: DiagSocket;
	readonly proto: number;
	readonly key: Uint8Array;
}

async function destroyIn<B extends GoneBackend>(
	netns: string | undefined,
	backends: readonly B[],
	options: SockDestroyOptions<B>,
): Promise<SockDestroyReport<B>> {
	const here = backends.filter(({ where }) => where === undefined || where.has(netns));
	if (here.length === 0) return { destroyed: 0, problems: [], left: [] };
	const asked = here.flatMap((backend) => listConnected(backend).map((message) => ({ backend, message })));
	const lists = await send(
		options.request,
		netns,
		asked.map(({ message }) => message),
	);
	const problems = lists.flatMap(({ code }, i) => problemOf(asked[i]?.message, code, netns));
	const victims = new Map<bigint, Victim>();
	const left: B[] = [];
	for (const [i, { records }] of lists.entries()) {
		const backend = asked[i]?.backend;
		if (backend === undefined) continue;
		for (const socket of records.map(parseDiagSocket)) {
			const key = socket === undefined ? undefined : serviceKeyOf(socket, backend, options);
			if (socket === undefined || key === undefined) continue;
			if (options.spares?.(backend, socket)) left.push(backend);
			else victims.set(socket.cookie, { socket, proto: backend.proto, key });
		}
	}
	if (victims.size === 0) return { destroyed: 0, problems, left };
	const ends = [...victims.values()].map((victim) => ({ victim, message: destroySocket(victim.socket, victim.proto) }));
	const replies = await send(
		options.request,
		netns,
		ends.map(({ message }) => message),
	);
	let destroyed = 0;
	for (const [i, { victim, message }] of ends.entries()) {
		const code = replies[i]?.code;
		problems.push(...problemOf(message, code, netns));
		if (code !== undefined) continue;
		destroyed++;
		// An ended UDP socket has no peer any more by which the release hook would find its entry.
		options.remove(victim.key);
	}
	return { destroyed, problems, left };
}

/** Key of the socket in sock_rev if it was connected by one of the frontends; undefined = it is none of the service's. */
function serviceKeyOf(
	{ cookie }: DiagSocket,
	backend: GoneBackend,
	{ lookUp, leadsTo }: Pick<SockDestroyOptions, 'lookUp' | 'leadsTo'>,
): Uint8Array | undefined {
	const { address, port, frontends } = backend;
	const key = SockRevKey.encode({ cookie, addr: addressBytes(address), port });
	const value = lookUp(key);
	if (value === undefined) return undefined;
	const entry = SockRevEntry.decode(value);
	const came = addressOfBytes(entry.addr);
	const frontend = frontends.find((each) => each.address === came && each.port === entry.port);
	return frontend === undefined || leadsTo(frontend, backend) ? undefined : key;
}

async function send(
	request: NetlinkRequest,
	netns: string | undefined,
	messages: readonly NetlinkMessage[],
): Promise<NetlinkReply[]> {
	const raw = await request({
		...(netns !== undefined && { netns }),
		protocol: NETLINK_SOCK_DIAG,
		messages: messages.map((message, i) => encodeMessage(message, i + 1)),
	});
	return raw.map(decodeReply);
}

function problemOf(message: NetlinkMessage | undefined, code: string | undefined, netns: string | undefined): string[] {
	if (message === undefined || code === undefined || message.tolerate?.includes(code)) return [];
	return [`cannot ${message.what}${netns === undefined ? '' : ` in ${netns}`}: ${code}`];
}
