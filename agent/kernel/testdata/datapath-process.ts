/**
 * A stand-in for the agent inside a network namespace: opens the dataplane with the real programs, as often as the test asks.
 */
import { execFileSync } from 'node:child_process';
import fs, { readdirSync, readlinkSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { type Maps, RuntimeState } from '../../../native/abi/generated.ts';
import { BpfLink, BpfMap, BpfObject, clsact, netlinkRequest, probe, type Where } from '../../../native/index.ts';
import { SMALL_MAPS } from '../../../test/lib/datapath-settings.ts';
import { serve } from '../../../test/lib/netns-process.ts';
import { type Attachments, type Datapath, type DatapathSettings, openDatapath } from '../datapath.ts';
import { type GracePeriodOptions, GracePeriods } from '../grace-periods.ts';
import { hookQueries, inspectHooks } from '../hook-state.ts';
import { CLSACT_SLOT } from '../links.ts';
import { Netlink } from '../netlink.ts';
import { type MapSizes, pinnedReader } from '../pinned-maps.ts';

export interface OpenRequest {
	readonly objectDir: string;
	readonly bpffsDir: string;
	readonly cgroupRoot: string;
	readonly settings?: Partial<DatapathSettings>;
	readonly mapSizes?: MapSizes;
	readonly xdp?: boolean | 'later';
	readonly tc?: 'auto' | 'clsact';
	readonly gracePeriods?: GracePeriodOptions;
}

const address = new Uint8Array(16);
const mac = new Uint8Array(6);
const SETTINGS: DatapathSettings = {
	uplinkIfindex: 2,
	overlayIfindex: 0,
	hostIfindex: 0,
	vni: 1,
	vxlanPort: 8472,
	snatPortMin: 0,
	snatPortMax: 0,
	podMtu: 1450,
	uplinkMtu: 1500,
	uplinkRows: 0,
	nodeAddr4: address,
	nodeAddr6: address,
	podNet4: address,
	podMask4: address,
	podNet6: address,
	podMask6: address,
	hostMac: mac,
	overlayMac: mac,
	events: 1,
	masquerade4: 0,
	masquerade6: 0,
	sockLb: 1,
	northSouth: 0,
	eventRate: 100,
};
let datapath: Datapath | undefined;
let pinned: BpfObject | undefined;
let foreign: BpfObject | undefined;
let foreignLink: BpfLink | undefined;
let attachHeld = Promise.withResolvers<void>();
const attachTcxAsync = BpfLink.attachTcxAsync;

const handlers: Record<string, (...args: never[]) => unknown> = {
	async open(request: OpenRequest) {
		datapath?.close();
		datapath = undefined;
		const { settings, mapSizes, gracePeriods, ...rest } = request;
		datapath = await openDatapath({
			...rest,
			...(gracePeriods && { gracePeriods: new GracePeriods(gracePeriods) }),
			settings: { ...SETTINGS, ...settings },
			mapSizes: { ...SMALL_MAPS, ...mapSizes },
			features: probe(),
		});
		return datapath.copiedTables;
	},
	activate: (attachments: Attachments) => datapath?.activate(attachments),
	reload: (settings: Partial<DatapathSettings>) => datapath?.reload({ ...SETTINGS, ...settings }),
	needXdp: () => datapath?.needXdp(),
	attachEndpoint: (ifindex: number, name: string) => datapath?.attachEndpoint(ifindex, name),
	/** From now on attachEndpoint() does not get its links before letAttach(). */
	holdAttach() {
		attachHeld = Promise.withResolvers<void>();
		BpfLink.attachTcxAsync = async (...args) => {
			const links = await attachTcxAsync.apply(BpfLink, args);
			await attachHeld.promise;
			return links;
		};
	},
	letAttach() {
		BpfLink.attachTcxAsync = attachTcxAsync;
		attachHeld.resolve();
	},
	missingAt: (ifindex: number) => datapath?.missingAt(ifindex),
	detachEndpoint: (name: string) => datapath?.detachEndpoint(name),
	set: (map: keyof typeof Maps, key: Uint8Array, value: Uint8Array) => datapath?.kernel.mapSet(map, key, value),
	get: (map: keyof typeof Maps, key: Uint8Array) => datapath?.kernel.mapGet(map, key),
	count: (map: keyof typeof Maps) => [...(datapath?.kernel.mapEntries(map) ?? [])].length,
	close: () => datapath?.close(),
	dieAt: (point: KillPoint) => KILL_POINTS[point](),
	setPinned: (path: string, key: Uint8Array, value: Uint8Array) =>
		withClosed(BpfMap.openPinned(path), (map) => map.set(key, value)),
	readPinned: (directory: string, map: keyof typeof Maps, key: Uint8Array) => pinnedReader(directory).mapGet(map, key),
	mapId: (path: string) => withClosed(BpfMap.openPinned(path), (map) => map.info.id),
	link: (path: string) => withClosed(BpfLink.openPinned(path), (link) => link.info),
	/** What is at the hooks, as the agent sees it. */
	inspect: (useTcx: boolean) =>
		inspectHooks(datapath?.hooks() ?? [], hookQueries(new Netlink({ request: netlinkRequest })), useTcx),
	repair: (name: string) => datapath?.repair(name),
	/** Attaches a program of somebody else by tcx, until this process ends. */
	async attachForeign(object: string, ifindex: number, where: Where) {
		foreign = BpfObject.open(object);
		await foreign.load();
		foreignLink = BpfLink.attachTcx(foreign.program('fill'), ifindex, where);
	},
	detachLink: (path: string) => withClosed(BpfLink.openPinned(path), (link) => link.detach()),
	detachClsact: (ifindex: number, where: Where) => clsact.detach(ifindex, where, CLSACT_SLOT),
	clsact: (ifindex: number, where: Where) => clsact.programId(ifindex, where, { priority: 1, handle: 0xf1 }),
	ip: (args: string[]) => execFileSync('ip', args, { encoding: 'utf8', timeout: 10_000 }),
	openBpf: () =>
		readdirSync('/proc/self/fd')
			.map(descriptor)
			.filter((target) => /bpf/.test(target)),
	/** Pins maps of another version where the agent looks for its own. */
	async pinOther(object: string, pins: Record<string, string>, directory: string) {
		pinned?.close();
		pinned = BpfObject.open(object);
		await pinned.load();
		pinned.program('fill').testRun({ data: new Uint8Array(64) });
		for (const [name, pin] of Object.entries(pins)) pinned.map(name).pin(join(directory, pin));
	},
	pinForeign(path: string) {
		const map = BpfMap.create({ type: 9, name: 'fl_ct4_1', keySize: 16, valueSize: 128, maxEntries: 4096 });
		map.pin(path);
		map.close();
	},
};

export type KillPoint =
	| 'in the first copy'
	| 'before the first link'
	| 'amid the links'
	| 'after the second copy'
	| 'amid the pins'
	| 'before a clsact filter goes'
	| 'while an endpoint is being attached';

const die = (): void => {
	process.kill(process.pid, 'SIGKILL');
};

/** Has activate() end this process at a certain point, as SIGKILL from outside would. */
const KILL_POINTS: Record<KillPoint, () => void> = {
	'in the first copy': () => dieIn(BpfMap.prototype, 'updateBatch', () => true),
	'before the first link': () => dieIn(kernelOf(), 'mapSet', (map, _, row) => migrates(map, row, 1)),
	'amid the links': () => dieIn(BpfLink.prototype, 'update', countdown(3)),
	'after the second copy': () => dieIn(kernelOf(), 'mapSet', (map, _, row) => migrates(map, row, 0)),
	'before a clsact filter goes': () => dieIn(clsact, 'detach', () => true),
	'while an endpoint is being attached': () => dieIn(BpfLink.prototype, 'pin', countdown(2)),
	'amid the pins': () => {
		dieIn(fs, 'renameSync', countdown(2));
		syncBuiltinESMExports();
	},
};

/** Replaces a method by one that ends the process when `now` says so, before it does anything. */
function dieIn(owner: object, method: string, now: (...args: unknown[]) => boolean): void {
	const original = Reflect.get(owner, method) as (...args: unknown[]) => unknown;
	Reflect.set(owner, method, function (this: unknown, ...args: unknown[]): unknown {
		if (now(...args)) die();
		return Reflect.apply(original, this, args);
	});
}

function kernelOf(): object {
	if (datapath === undefined) throw new Error('nothing is open');
	return datapath.kernel;
}

const migrates = (map: unknown, row: unknown, migrating: number): boolean =>
	map === 'runtime' && RuntimeState.decode(row as Uint8Array).migrating === migrating;

function countdown(calls: number): () => boolean {
	let left = calls;
	return () => --left === 0;
}

function descriptor(fd: string): string {
	try {
		return readlinkSync(`/proc/self/fd/${fd}`);
	} catch {
		return ''; // the one of the listing itself
	}
}

function withClosed<T extends { close(): void }, R>(owner: T, use: (owner: T) => R): R {
	try {
		return use(owner);
	} finally {
		owner.close();
	}
}

serve(
	async (method, args) => handlers[method]?.(...(args as never[])),
	() => {
		datapath?.close();
		pinned?.close();
		foreignLink?.close();
		foreign?.close();
	},
);
