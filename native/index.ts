/**
 * The only door to the kernel's BPF, network namespaces and rings.
 *
 * Every object here owns one kernel resource. `close()` gives it back at once and may be called again; what is never
 * closed is given back by the garbage collector or when the environment ends. Attached links outlive the process only
 * when pinned. Failures are NativeError; wrong arguments are TypeError with code ERR_INVALID_ARG_VALUE.
 */
import { statSync, unlinkSync } from 'node:fs';
import {
	addon,
	type KernelFeatures,
	type LinkHandle,
	type LinkInfo,
	type MapHandle,
	type MapInfo,
	type ObjectHandle,
	type ProgramHandle,
	type RingHandle,
	type TestRunResult,
} from './addon.ts';

export type { KernelFeatures, LinkInfo, MapInfo, TestRunResult } from './addon.ts';

/** Direction at the interface, as the host sees it. */
export type Where = 'ingress' | 'egress';

export type CgroupAttachType =
	| 'connect4'
	| 'connect6'
	| 'sendmsg4'
	| 'sendmsg6'
	| 'recvmsg4'
	| 'recvmsg6'
	| 'getpeername4'
	| 'getpeername6'
	| 'post_bind4'
	| 'post_bind6'
	| 'bind4'
	| 'bind6'
	| 'sock_create'
	| 'sock_release';

/**
 * A system call said no, or the addon refused.
 * `code` is the errno's name ('ENOENT'), or one of ours with errno 0: MAP_LAYOUT (reuseMap: another layout),
 * WRONG_KIND (a pin is another kind of object), WRONG_STAGE (an object is loaded already, or not yet).
 */
export class NativeError extends Error {
	override readonly name = 'NativeError';
	readonly code: string;
	readonly errno: number;
	readonly syscall: string;
	/** All that libbpf and the verifier said; set by BpfObject.open and load. */
	declare readonly log?: string;
	/** How many elements of a batch were done before it stopped. */
	declare readonly done?: number;

	constructor(message: string, code: string, errno: number, syscall: string) {
		super(message);
		this.code = code;
		this.errno = errno;
		this.syscall = syscall;
	}
}

addon.setErrorClass(NativeError);

/** The native handle inside each facade object; not reachable from outside this module. */
const mapHandles = new WeakMap<BpfMap, MapHandle>();
const programHandles = new WeakMap<BpfProgram, ProgramHandle>();

function handleOf<K extends object, H>(handles: WeakMap<K, H>, owner: K, what: string): H {
	const handle = handles.get(owner);
	if (handle === undefined) throw new TypeError(`${what}: expected an object of this module`);
	return handle;
}

/** `set` flags (linux/bpf.h). */
export const BPF_ANY = 0;
export const BPF_NOEXIST = 1;
export const BPF_EXIST = 2;

export interface MapSpec {
	/** enum bpf_map_type */
	type: number;
	/** At most 15 bytes. */
	name: string;
	keySize: number;
	valueSize: number;
	maxEntries: number;
	/** BPF_F_* creation flags. */
	flags?: number;
}

/** One BPF map. Keys and values are raw bytes of exactly the map's sizes. */
export class BpfMap {
	readonly info: MapInfo;
	readonly #handle: MapHandle;
	#memory: ArrayBuffer | undefined;

	/** Use create, openPinned, openById or BpfObject.map. */
	private constructor(handle: MapHandle) {
		this.#handle = handle;
		this.info = addon.mapInfo(handle);
		mapHandles.set(this, handle);
	}

	static create(spec: MapSpec): BpfMap {
		const { type, name, keySize, valueSize, maxEntries, flags } = spec;
		return new BpfMap(addon.mapCreate(type, name, keySize, valueSize, maxEntries, flags ?? 0));
	}

	/** @throws NativeError ENOENT when nothing is there, WRONG_KIND when it is no map. */
	static openPinned(path: string): BpfMap {
		return new BpfMap(addon.mapOpenPinned(path));
	}

	static openById(id: number): BpfMap {
		return new BpfMap(addon.mapOpenById(id));
	}

	/** For BpfObject only. */
	static fromHandle(handle: MapHandle): BpfMap {
		return new BpfMap(handle);
	}

	/**
	 * @returns a copy of the value, undefined when there is no such key.
	 * Per-CPU maps: the values of all possible CPUs (possibleCpus()), each rounded up to 8 bytes.
	 */
	get(key: Uint8Array): Uint8Array | undefined {
		return addon.mapGet(this.#handle, key);
	}

	/**
	 * Inserts or replaces. @param flags BPF_ANY (default), BPF_NOEXIST, BPF_EXIST.
	 * @throws NativeError E2BIG (full), EEXIST, ENOENT.
	 */
	set(key: Uint8Array, value: Uint8Array, flags?: number): void {
		addon.mapSet(this.#handle, key, value, flags);
	}

	/** Puts a program into a BPF_MAP_TYPE_PROG_ARRAY, for tail calls. */
	setProgram(index: number, program: BpfProgram): void {
		addon.mapSetProgram(this.#handle, index, handleOf(programHandles, program, 'program'));
	}

	/** @returns false when it was not there. */
	delete(key: Uint8Array): boolean {
		return addon.mapDelete(this.#handle, key);
	}

	/** All entries, in no order; entries changed meanwhile may be seen or not. Blocks: for small maps. */
	entries(): [Uint8Array, Uint8Array][] {
		return this.#split(addon.mapDump(this.#handle));
	}

	/** As entries(), read on a worker thread. */
	async entriesAsync(): Promise<[Uint8Array, Uint8Array][]> {
		return this.#split(await addon.mapDumpAsync(this.#handle));
	}

	/** All entries as two flat arrays: `count` keys of keySize, `count` values of keySize's entry size. For large maps. */
	dumpAsync(): Promise<{ count: number; keys: Uint8Array; values: Uint8Array }> {
		return addon.mapDumpAsync(this.#handle);
	}

	/**
	 * Sets many entries on a worker thread; both arrays are copied first.
	 * @returns the number written. @throws NativeError with `done`, the number written before it stopped.
	 */
	updateBatch(keys: Uint8Array, values: Uint8Array, flags?: number): Promise<number> {
		return addon.mapUpdateBatch(this.#handle, keys, values, flags);
	}

	/** Deletes many keys on a worker thread. @returns how many were there. */
	deleteBatch(keys: Uint8Array): Promise<number> {
		return addon.mapDeleteBatch(this.#handle, keys);
	}

	/**
	 * The memory of a BPF_F_MMAPABLE array, shared with the kernel. Element i starts at i * (valueSize rounded up to 8).
	 * The same buffer each time; close() detaches it, after which every use of it throws TypeError or reads nothing.
	 */
	mmap(): ArrayBuffer {
		this.#memory ??= addon.mapMmap(this.#handle);
		return this.#memory;
	}

	/** @throws NativeError EEXIST when something is pinned there. */
	pin(path: string): void {
		addon.mapPin(this.#handle, path);
	}

	unpin(path: string): void {
		unlinkSync(path);
	}

	close(): void {
		addon.mapClose(this.#handle, this.#memory);
		this.#memory = undefined;
	}

	#split(flat: { count: number; keys: Uint8Array; values: Uint8Array }): [Uint8Array, Uint8Array][] {
		const keySize = this.info.keySize;
		const valueSize = flat.count === 0 ? 0 : flat.values.length / flat.count;
		return Array.from({ length: flat.count }, (_, i) => [
			flat.keys.subarray(i * keySize, (i + 1) * keySize),
			flat.values.subarray(i * valueSize, (i + 1) * valueSize),
		]);
	}
}

/** A loaded program. */
export class BpfProgram {
	/** The C function's name; programs opened by pin or id carry the kernel's copy, cut at 15 bytes. */
	readonly name: string;
	readonly id: number;
	/** enum bpf_prog_type */
	readonly type: number;
	/** Hash of the instructions, 16 hex digits: equal tags mean equal code. */
	readonly tag: string;
	readonly #handle: ProgramHandle;

	private constructor(handle: ProgramHandle) {
		const { name, id, type, tag } = addon.programInfo(handle);
		this.#handle = handle;
		this.name = name;
		this.id = id;
		this.type = type;
		this.tag = tag;
		programHandles.set(this, handle);
	}

	/** For BpfObject only. */
	static fromHandle(handle: ProgramHandle): BpfProgram {
		return new BpfProgram(handle);
	}

	static openPinned(path: string): BpfProgram {
		return new BpfProgram(addon.programOpenPinned(path));
	}

	static openById(id: number): BpfProgram {
		return new BpfProgram(addon.programOpenById(id));
	}

	/**
	 * BPF_PROG_TEST_RUN. @param o.data packet from its Ethernet header; @param o.ctx for example a struct __sk_buff;
	 * @param o.dataOutSize room for the result, by default data and 512 more bytes; ENOSPC when it is too small.
	 * @returns retval as a signed 32-bit number (TCX_NEXT is -1), packet and context afterwards, mean ns of one run.
	 */
	testRun(o: {
		data?: Uint8Array;
		ctx?: Uint8Array;
		repeat?: number;
		dataOutSize?: number;
		flags?: number;
	}): TestRunResult {
		return addon.programTestRun(this.#handle, o.data, o.ctx, o.repeat ?? 1, o.dataOutSize, o.flags);
	}

	pin(path: string): void {
		addon.programPin(this.#handle, path);
	}

	close(): void {
		addon.programClose(this.#handle);
	}
}

/** A compiled object file: open, adjust, load once, take maps and programs, close. */
export class BpfObject {
	/** Without the compiler's own maps (.rodata, .bss), which map() finds by their section's name. */
	readonly mapNames: string[];
	readonly programNames: string[];
	/** Constants in .rodata: name → size in bytes. */
	readonly rodata: Readonly<Record<string, number>>;
	readonly #handle: ObjectHandle;
	readonly #maps = new Map<string, BpfMap>();
	readonly #programs = new Map<string, BpfProgram>();

	private constructor(handle: ObjectHandle) {
		this.#handle = handle;
		this.mapNames = addon.objectMapNames(handle);
		this.programNames = addon.objectProgramNames(handle);
		this.rodata = addon.objectRodata(handle);
	}

	static open(path: string): BpfObject {
		return new BpfObject(addon.objectOpen(path));
	}

	/** Sets a `const volatile` variable before load. @throws NativeError ENOENT (no such variable), TypeError (wrong size). */
	setRodata(name: string, value: Uint8Array): void {
		addon.objectSetRodata(this.#handle, name, value);
	}

	/** Uses an existing map in place of the object's own. @throws NativeError MAP_LAYOUT when type, sizes, max_entries or flags differ. */
	reuseMap(name: string, map: BpfMap): void {
		addon.objectReuseMap(this.#handle, name, handleOf(mapHandles, map, 'map'));
	}

	setMaxEntries(name: string, maxEntries: number): void {
		addon.objectSetMaxEntries(this.#handle, name, maxEntries);
	}

	setAutoload(program: string, on: boolean): void {
		addon.objectSetAutoload(this.#handle, program, on);
	}

	/**
	 * Creates the maps and runs the verifier, on a worker thread. Once only.
	 * @throws NativeError whose message ends with the last lines of what libbpf and the verifier said; all of it is `log`.
	 */
	load(): Promise<void> {
		return addon.objectLoad(this.#handle);
	}

	/** The same BpfMap each time; this object's close() closes it. */
	map(name: string): BpfMap {
		let map = this.#maps.get(name);
		if (map === undefined) {
			map = BpfMap.fromHandle(addon.objectMap(this.#handle, name));
			this.#maps.set(name, map);
		}
		return map;
	}

	/** The same BpfProgram each time; this object's close() closes it. */
	program(name: string): BpfProgram {
		let program = this.#programs.get(name);
		if (program === undefined) {
			program = BpfProgram.fromHandle(addon.objectProgram(this.#handle, name));
			this.#programs.set(name, program);
		}
		return program;
	}

	/** Closes its maps and programs too. Links and pins made from them stay. */
	close(): void {
		for (const map of this.#maps.values()) map.close();
		for (const program of this.#programs.values()) program.close();
		addon.objectClose(this.#handle);
	}
}

/** An attachment. It ends when the last fd and pin of it are gone, or by detach(). */
export class BpfLink {
	readonly #handle: LinkHandle;

	private constructor(handle: LinkHandle) {
		this.#handle = handle;
	}

	/** @throws NativeError EOPNOTSUPP when the kernel has no tcx (< 6.6): use clsact. ENODEV: no such interface. */
	static attachTcx(program: BpfProgram, ifindex: number, where: Where): BpfLink {
		return new BpfLink(addon.linkAttachTcx(handleOf(programHandles, program, 'program'), ifindex, where));
	}

	/** @throws NativeError EOPNOTSUPP when the driver has no native XDP: use 'generic'. EBUSY: another one is attached. */
	static attachXdp(program: BpfProgram, ifindex: number, mode: 'native' | 'generic'): BpfLink {
		return new BpfLink(addon.linkAttachXdp(handleOf(programHandles, program, 'program'), ifindex, mode));
	}

	/** @param cgroupPath a cgroup v2 directory */
	static attachCgroup(program: BpfProgram, cgroupPath: string, type: CgroupAttachType): BpfLink {
		return new BpfLink(addon.linkAttachCgroup(handleOf(programHandles, program, 'program'), cgroupPath, type));
	}

	static openPinned(path: string): BpfLink {
		return new BpfLink(addon.linkOpenPinned(path));
	}

	static openById(id: number): BpfLink {
		return new BpfLink(addon.linkOpenById(id));
	}

	/** Asked of the kernel each time. `ifindex` (tcx, XDP) becomes 0 when the interface is gone. */
	get info(): LinkInfo {
		return addon.linkInfo(this.#handle);
	}

	/** Replaces the program atomically: each packet sees the old one or the new one. */
	update(program: BpfProgram): void {
		addon.linkUpdate(this.#handle, handleOf(programHandles, program, 'program'));
	}

	pin(path: string): void {
		addon.linkPin(this.#handle, path);
	}

	/** Ends the attachment although fds or pins remain. */
	detach(): void {
		addon.linkDetach(this.#handle);
	}

	close(): void {
		addon.linkClose(this.#handle);
	}
}

export interface ClsactSlot {
	/** 1 … 65535; lower runs first. */
	priority: number;
	/** 1 … 2^32-1 */
	handle: number;
}

/** tc filters for kernels without tcx. They stay until detached or the interface goes, also after this process. */
export const clsact = {
	/** Adds the qdisc if needed; replaces what is in the slot, atomically. */
	attach(program: BpfProgram, ifindex: number, where: Where, slot: ClsactSlot): void {
		addon.clsactAttach(handleOf(programHandles, program, 'program'), ifindex, where, slot.priority, slot.handle);
	},
	/** Leaves the qdisc: others may use it. @throws NativeError ENOENT when the slot is empty. */
	detach(ifindex: number, where: Where, slot: ClsactSlot): void {
		addon.clsactDetach(ifindex, where, slot.priority, slot.handle);
	},
	/** @returns the id of the program in the slot, undefined when there is none. */
	programId(ifindex: number, where: Where, slot: ClsactSlot): number | undefined {
		return addon.clsactQuery(ifindex, where, slot.priority, slot.handle);
	},
};

/**
 * Reads a BPF_MAP_TYPE_RINGBUF on its own thread and hands batches to `onRecords` on the event loop, never two batches
 * in one turn of it. At most `maxQueued` records wait; more are dropped and counted in `lost`. Keeps the process alive
 * until close().
 */
export class RingBuffer {
	readonly #handle: RingHandle;
	#closed = false;

	/**
	 * @param onRecords gets each batch once; the arrays are views of one buffer that nobody else uses
	 * @param o.pollMs how long records submitted with BPF_RB_NO_WAKEUP may wait; default 100
	 * @param o.maxQueued default 16384
	 */
	constructor(map: BpfMap, onRecords: (records: Uint8Array[]) => void, o: { pollMs?: number; maxQueued?: number } = {}) {
		const deliver = (bytes: Uint8Array, spans: Uint32Array): void => {
			setImmediate(() => {
				if (!this.#closed) addon.ringAcknowledge(this.#handle);
			});
			const records: Uint8Array[] = [];
			for (let i = 0; i + 1 < spans.length; i += 2) {
				const offset = spans[i] ?? 0;
				records.push(bytes.subarray(offset, offset + (spans[i + 1] ?? 0)));
			}
			onRecords(records);
		};
		this.#handle = addon.ringOpen(handleOf(mapHandles, map, 'map'), deliver, o.pollMs ?? 100, o.maxQueued ?? 16384);
	}

	/** Records dropped because JavaScript was too slow. What the kernel could not submit is the producer's to count. */
	get lost(): bigint {
		return addon.ringLost(this.#handle);
	}

	/** No callback comes after this. */
	close(): void {
		this.#closed = true;
		addon.ringClose(this.#handle);
	}
}

export interface NetlinkJob {
	/** Path of a network namespace, for example /run/netns/x or /proc/1/ns/net; default: this process's. */
	netns?: string;
	/** 0 = NETLINK_ROUTE */
	protocol: number;
	/** Whole requests with their headers, in host byte order. */
	messages: Uint8Array[];
	/** For each answer; default 10 s, then NativeError ETIMEDOUT. */
	timeoutMs?: number;
}

/**
 * Sends the requests one after the other over one socket, on a worker thread; no thread of Node.js changes its
 * namespace. A request with NLM_F_ACK or NLM_F_DUMP is answered by everything up to NLMSG_ERROR or NLMSG_DONE, one
 * without by its one reply. An NLMSG_ERROR with an error inside is a normal answer: the caller reads it, and the
 * requests after it are sent all the same. Extended acknowledgements and strict checking are on.
 * @returns per request its reply messages, headers included.
 */
export function netlinkRequest(job: NetlinkJob): Promise<Uint8Array[][]> {
	return addon.netlinkRequest(job.netns, job.protocol, job.messages, job.timeoutMs ?? 10_000);
}

/** Opens a socket inside a network namespace. @returns its fd (close-on-exec); the caller owns it. */
export function openSocketInNetns(netns: string, domain: number, type: number, protocol: number): Promise<number> {
	return addon.socketInNetns(netns, domain, type, protocol);
}

/** The namespace's identity: equal for all paths of one namespace. */
export function netnsInode(path: string): bigint {
	return statSync(path, { bigint: true }).ino;
}

/** Who connected the unix socket (SO_PEERCRED), as of connect(). */
export function peerCredentials(fd: number): { pid: number; uid: number; gid: number } {
	return addon.peerCredentials(fd);
}

/** In this process's network namespace. @throws NativeError ENODEV. */
export function ifindexOf(name: string): number {
	return addon.ifindexOf(name);
}

/** Waits until every CPU has left the BPF programs that ran when it was called. Takes milliseconds: see membarrierAsync. */
export function membarrier(): void {
	addon.membarrier();
}

/** As membarrier(), without blocking the event loop. */
export function membarrierAsync(): Promise<void> {
	return addon.membarrierAsync();
}

/** The raw BTF (header and all) of a BTF id, such as MapInfo.btfId. */
export function btfOfId(id: number): Uint8Array {
	return addon.btfOfId(id);
}

/** How XDP is attached to an interface now. */
export function xdpMode(ifindex: number): 'none' | 'native' | 'generic' | 'offload' {
	return addon.xdpMode(ifindex);
}

/** CPUs that per-CPU map values cover. */
export function possibleCpus(): number {
	return addon.possibleCpus();
}

/** Ids of all maps, programs and links on this machine. */
export function mapIds(): number[] {
	return addon.mapIds();
}
export function programIds(): number[] {
	return addon.programIds();
}
export function linkIds(): number[] {
	return addon.linkIds();
}

/** What this kernel can do. Loads trivial programs: call it once at start. @throws NativeError EPERM without CAP_BPF. */
export function probe(): KernelFeatures {
	return addon.probe();
}
