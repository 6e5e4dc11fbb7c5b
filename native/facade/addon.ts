/**
 * The raw surface of the C++ addon, as declared types. Only the files of this folder import it.
 * Handles are opaque; every function checks its arguments and throws NativeError or TypeError.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { NativeError } from './error.ts';
import type { KernelFeatures } from './features.ts';

declare const handleKind: unique symbol;
/** A native resource; the addon refuses a handle of another kind. */
export interface Handle<Kind extends string> {
	readonly [handleKind]: Kind;
}
export type MapHandle = Handle<'map'>;
export type ObjectHandle = Handle<'object'>;
export type ProgramHandle = Handle<'program'>;
export type LinkHandle = Handle<'link'>;
export type RingHandle = Handle<'ring'>;
export type PacketSocketHandle = Handle<'packet-socket'>;
export type ListenerHandle = Handle<'netlink-listener'>;

export interface MapInfo {
	id: number;
	name: string;
	type: number;
	keySize: number;
	valueSize: number;
	maxEntries: number;
	flags: number;
	btfId: number;
	btfKeyTypeId: number;
	btfValueTypeId: number;
}

export interface FlatEntries {
	count: number;
	keys: Uint8Array;
	values: Uint8Array;
}

export interface SweepResult {
	/** Left in the map. */
	entries: number;
	deleted: number;
	/** Of the entries left, by counter. */
	counts: number[];
	/** Numbers of deleted entries that were to be noted. */
	noted: number[];
	/** With a tally, of the entries left and of those deleted: rows of number, flows, packets, bytes. */
	live?: Float64Array;
	ended?: Float64Array;
}

export interface ProgramInfo {
	name: string;
	id: number;
	type: number;
	tag: string;
}

export interface TestRunResult {
	retval: number;
	data: Uint8Array;
	ctx: Uint8Array;
	durationNs: number;
}

export interface LinkInfo {
	id: number;
	type: number;
	programId: number;
	ifindex?: number;
	attachType?: number;
}

/** Direction at the interface, as the host sees it. */
export type Where = 'ingress' | 'egress';

export interface Addon {
	setErrorClass(cls: new (message: string, code: string, errno: number, syscall: string) => Error): void;
	handleCount(): number;

	mapCreate(
		type: number,
		name: string,
		keySize: number,
		valueSize: number,
		maxEntries: number,
		flags: number,
	): MapHandle;
	mapOpenPinned(path: string): MapHandle;
	mapOpenById(id: number): MapHandle;
	mapInfo(map: MapHandle): MapInfo;
	mapGet(map: MapHandle, key: Uint8Array): Uint8Array | undefined;
	mapSet(map: MapHandle, key: Uint8Array, value: Uint8Array, flags: number | undefined): void;
	mapSetProgram(map: MapHandle, index: number, program: ProgramHandle): void;
	mapDelete(map: MapHandle, key: Uint8Array): boolean;
	mapDump(map: MapHandle): FlatEntries;
	mapDumpAsync(map: MapHandle): Promise<FlatEntries>;
	mapUpdateBatch(map: MapHandle, keys: Uint8Array, values: Uint8Array, flags: number | undefined): Promise<number>;
	mapDeleteBatch(map: MapHandle, keys: Uint8Array): Promise<number>;
	mapMmap(map: MapHandle): ArrayBuffer;
	mapSweep(map: MapHandle, spec: object): Promise<SweepResult>;
	mapMove(from: MapHandle, to: MapHandle, spec: object): Promise<SweepResult>;
	mapPin(map: MapHandle, path: string): void;
	mapClose(map: MapHandle, buffer: ArrayBuffer | undefined): void;

	objectOpen(path: string): ObjectHandle;
	objectMapNames(object: ObjectHandle): string[];
	objectProgramNames(object: ObjectHandle): string[];
	objectRodata(object: ObjectHandle): Record<string, number>;
	objectSetRodata(object: ObjectHandle, name: string, value: Uint8Array): void;
	objectReuseMap(object: ObjectHandle, name: string, map: MapHandle): void;
	objectReplaceMap(object: ObjectHandle, name: string, map: MapHandle): void;
	objectSetMaxEntries(object: ObjectHandle, name: string, maxEntries: number): void;
	objectSetAutoload(object: ObjectHandle, program: string, on: boolean): void;
	objectLoad(object: ObjectHandle): Promise<void>;
	objectMap(object: ObjectHandle, name: string): MapHandle;
	objectProgram(object: ObjectHandle, name: string): ProgramHandle;
	objectClose(object: ObjectHandle): void;

	programOpenPinned(path: string): ProgramHandle;
	programOpenById(id: number): ProgramHandle;
	programInfo(program: ProgramHandle): ProgramInfo;
	programTestRun(
		program: ProgramHandle,
		data: Uint8Array | undefined,
		ctx: Uint8Array | undefined,
		repeat: number,
		dataOutSize: number | undefined,
		flags: number | undefined,
	): TestRunResult;
	programPin(program: ProgramHandle, path: string): void;
	programClose(program: ProgramHandle): void;

	linkAttachTcx(program: ProgramHandle, ifindex: number, where: Where): LinkHandle;
	linkAttachTcxAsync(
		...hooks: (ProgramHandle | number | Where)[] /* program, ifindex, where, program, … */
	): Promise<LinkHandle[]>;
	linkAttachXdp(program: ProgramHandle, ifindex: number, mode: 'native' | 'generic'): LinkHandle;
	linkAttachCgroup(program: ProgramHandle, cgroupPath: string, type: string): LinkHandle;
	linkOpenPinned(path: string): LinkHandle;
	linkOpenById(id: number): LinkHandle;
	linkInfo(link: LinkHandle): LinkInfo;
	linkUpdate(link: LinkHandle, program: ProgramHandle): void;
	linkPin(link: LinkHandle, path: string): void;
	linkDetach(link: LinkHandle): void;
	linkClose(link: LinkHandle): void;

	clsactAttach(program: ProgramHandle, ifindex: number, where: Where, priority: number, handle: number): void;
	clsactDetach(ifindex: number, where: Where, priority: number, handle: number): void;
	clsactQuery(ifindex: number, where: Where, priority: number, handle: number): number | undefined;

	ringOpen(
		map: MapHandle,
		onBatch: (bytes: Uint8Array, spans: Uint32Array) => void,
		pollMs: number,
		maxQueued: number,
	): RingHandle;
	ringAcknowledge(ring: RingHandle): void;
	ringLost(ring: RingHandle): bigint;
	ringClose(ring: RingHandle): void;

	packetOpen(
		ifindex: number,
		mark: number,
		onBatch: (bytes: Uint8Array, spans: Uint32Array) => void,
		maxQueued: number,
	): PacketSocketHandle;
	packetSend(socket: PacketSocketHandle, ifindex: number, frame: Uint8Array): void;
	packetAcknowledge(socket: PacketSocketHandle): void;
	packetLost(socket: PacketSocketHandle): number;
	packetClose(socket: PacketSocketHandle): void;

	listenerOpen(
		netns: string | undefined,
		protocol: number,
		groups: Uint32Array,
		filter: Uint8Array,
		bufferBytes: number,
		onBatch: (bytes: Uint8Array, spans: Uint32Array) => void,
		maxQueued: number,
	): ListenerHandle;
	listenerAcknowledge(listener: ListenerHandle): void;
	listenerLost(listener: ListenerHandle): number;
	listenerClose(listener: ListenerHandle): void;

	netlinkRequest(
		protocol: number,
		timeoutMs: number,
		...turns: (string | undefined | Uint8Array[])[] /* netns, messages, netns, messages, … */
	): Promise<Uint8Array[][]>;
	netnsCreate(): Promise<number>;
	socketInNetns(netns: string, domain: number, type: number, protocol: number): Promise<number>;

	peerCredentials(fd: number): { pid: number; uid: number; gid: number };
	writeAside(temporary: string, path: string, content: string): Promise<number>;
	ifindexOf(name: string): number;
	membarrier(): void;
	membarrierAsync(): Promise<void>;
	btfOfId(id: number): Uint8Array;
	mapIds(): number[];
	programIds(): number[];
	linkIds(): number[];
	tcxPrograms(ifindex: number, where: Where): number[];
	cgroupPrograms(cgroupPath: string, type: string): number[];
	xdpPrograms(ifindex: number): number[];
	xdpMode(ifindex: number): 'none' | 'native' | 'generic' | 'offload';
	possibleCpus(): number;
	netnsCookie(): bigint;
	netnsCookieAsync(netns: string): Promise<bigint>;
	trimMemory(): void;
	probe(): KernelFeatures;
}

/** Works from source (native/facade) and from a bundle in dist/agent, which shares the source tree's build directory. */
function addonPath(): string {
	const override = process.env.FAIRLEAD_ADDON;
	if (override !== undefined) return override;
	const places = ['../build/Release/fairlead.node', '../../native/build/Release/fairlead.node'];
	const paths = places.map((place) => fileURLToPath(new URL(place, import.meta.url)));
	const found = paths.find((path) => existsSync(path));
	if (found === undefined)
		throw new Error(`cannot load the native addon: none of ${paths.join(', ')} exists; run npm run build`);
	return found;
}

export const addon = createRequire(import.meta.url)(addonPath()) as Addon;

addon.setErrorClass(NativeError);

/** The native handle inside each facade object; not reachable from outside this folder. */
export const mapHandles = new WeakMap<object, MapHandle>();
export const programHandles = new WeakMap<object, ProgramHandle>();

export function handleOf<H>(handles: WeakMap<object, H>, owner: object, what: string): H {
	const handle = handles.get(owner);
	if (handle === undefined) throw new TypeError(`${what}: expected an object of native/index.ts`);
	return handle;
}
