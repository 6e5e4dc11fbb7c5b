/** Loads the programs of an agent as it does at its first start, attached nowhere, and tells what that took the verifier. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { MapSizes } from '../../agent/kernel/pinned-maps.ts';
import { PinnedMaps } from '../../agent/kernel/pinned-maps.ts';
import { ProgramPins } from '../../agent/kernel/program-pins.ts';
import { neededObjects, Programs } from '../../agent/kernel/programs.ts';
import type { DatapathConfig } from '../../native/abi/generated.ts';
import { BpfObject } from '../../native/index.ts';
import { BPF_OUTPUT } from '../../scripts/build-bpf.ts';
import { verifiedInstructions } from './verified-instructions.ts';

export interface VerifiedPrograms {
	/** That the verifier has looked at, by program; none before kernel 5.16. */
	readonly instructions: ReadonlyMap<string, number>;
	/** From the first map on until all programs are accepted, in milliseconds. */
	readonly ms: number;
	/** CPU time of all threads meanwhile. */
	readonly cpuMs: number;
}

const none = new Uint8Array(16);
const unused = new Uint8Array(128);
const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
const mapped = (a: number, b: number, c: number, d: number): Uint8Array =>
	Uint8Array.of(...none.subarray(0, 10), 0xff, 0xff, a, b, c, d);
const v6 = (last: number): Uint8Array => Uint8Array.of(0xfd, 0, 2, 0x44, ...none.subarray(0, 11), last);
const mask = (bytes: number): Uint8Array => new Uint8Array(16).fill(0xff, 0, bytes);

/** Everything that is on by default, on a new kernel; nothing is attached, so that no interface need exist. */
const DEFAULTS: DatapathConfig = {
	uplinkIfindex: 2,
	overlayIfindex: 3,
	hostIfindex: 4,
	vni: 1,
	vxlanPort: 8472,
	snatPortMin: 50_000,
	snatPortMax: 60_000,
	podMtu: 1450,
	uplinkMtu: 1500,
	nodeAddr4: mapped(172, 30, 1, 11),
	nodeAddr6: v6(1),
	podNet4: mapped(10, 244, 1, 0),
	podMask4: mask(15),
	podNet6: v6(0),
	podMask6: mask(8),
	hostMac: mac,
	overlayMac: mac,
	events: 1,
	masquerade4: 1,
	masquerade6: 1,
	sockLb: 1,
	hasSetRetval: 1,
	hasKernCtx: 1,
	hasCoarseTime: 1,
	xdpFrags: 1,
	hasCsumIpv6: 1,
	northSouth: 0,
	hostNetns: 1n,
	dryRun: 0,
	carry: 0,
	carryCt4In: unused,
	carryCt4Out: unused,
	carryCt6In: unused,
	carryCt6Out: unused,
	carryNatIn: unused,
	carryNatOut: unused,
	hz: 250,
	eventRate: 100,
};

/** Their size is nothing to the verifier. */
const SMALL: MapSizes = Object.fromEntries(
	['services', 'slots', 'backends', 'sock_rev', 'ct4', 'ct6', 'nat', 'frags', 'ipcache', 'cidrs'].map((name) => [
		name,
		4096,
	]),
);

/** @param changes  of the defaults. The BPF objects must have been built; needs root and bpffs. */
export async function loadPrograms(changes: Partial<DatapathConfig> = {}): Promise<VerifiedPrograms> {
	const directory = mkdtempSync('/sys/fs/bpf/fairlead-verify-');
	const config = { ...DEFAULTS, ...changes };
	let maps: PinnedMaps | undefined;
	let programs: Programs | undefined;
	try {
		const before = process.cpuUsage();
		const start = performance.now();
		maps = new PinnedMaps(join(directory, 'maps'), SMALL);
		const pins = new ProgramPins(join(directory, 'programs'));
		programs = await Programs.load({ objectDir: BPF_OUTPUT, config, maps, pins, xdp: true });
		const ms = performance.now() - start;
		const { user, system } = process.cpuUsage(before);
		return { instructions: instructionsOf(programs, config), ms, cpuMs: (user + system) / 1000 };
	} finally {
		programs?.close();
		maps?.abandon();
		maps?.close();
		rmSync(directory, { recursive: true, force: true });
	}
}

function instructionsOf(programs: Programs, config: DatapathConfig): Map<string, number> {
	const byId = verifiedInstructions();
	const found = new Map<string, number>();
	for (const name of neededObjects(config, true).flatMap(programNames)) {
		const count = byId.get(programs.find(name)?.id ?? 0);
		if (count !== undefined) found.set(name, count);
	}
	return found;
}

function programNames(object: string): readonly string[] {
	const opened = BpfObject.open(join(BPF_OUTPUT, `${object}.bpf.o`));
	try {
		return opened.programNames;
	} finally {
		opened.close();
	}
}
