/** Loads the programs of an agent as it does at its first start, attached nowhere, and tells what that took the verifier. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PinnedMaps } from '../../agent/kernel/pinned-maps.ts';
import { ProgramPins } from '../../agent/kernel/program-pins.ts';
import { neededObjects, Programs } from '../../agent/kernel/programs.ts';
import type { DatapathConfig } from '../../native/abi/generated.ts';
import { BpfObject } from '../../native/index.ts';
import { BPF_OUTPUT } from '../../scripts/build-bpf.ts';
import { SMALL_MAPS, settingsOf } from './datapath-settings.ts';
import { verifiedInstructions } from './verified-instructions.ts';

export interface VerifiedPrograms {
	/** That the verifier has looked at, by program; none before kernel 5.16. */
	readonly instructions: ReadonlyMap<string, number>;
	/** From the first map on until all programs are accepted, in milliseconds. */
	readonly ms: number;
	/** CPU time of all threads meanwhile. */
	readonly cpuMs: number;
}

const unused = new Uint8Array(128);

/** Everything that is on by default, on a new kernel; nothing is attached, so that no interface need exist. */
const DEFAULTS: DatapathConfig = {
	...settingsOf({ uplink: 2, overlay: 3, host: 4 }),
	hasSetRetval: 1,
	hasKernCtx: 1,
	hasCoarseTime: 1,
	hasTunnelSource: 1,
	xdpFrags: 1,
	hasCsumIpv6: 1,
	hostNetns: 1n,
	dryRun: 0,
	carry: 0,
	carryCt4In: unused,
	carryCt4Out: unused,
	carryCt6In: unused,
	carryCt6Out: unused,
	hz: 250,
};

/** @param changes  of the defaults. The BPF objects must have been built; needs root and bpffs. */
export async function loadPrograms(changes: Partial<DatapathConfig> = {}): Promise<VerifiedPrograms> {
	const directory = mkdtempSync('/sys/fs/bpf/fairlead-verify-');
	const config = { ...DEFAULTS, ...changes };
	let maps: PinnedMaps | undefined;
	let programs: Programs | undefined;
	try {
		const before = process.cpuUsage();
		const start = performance.now();
		maps = new PinnedMaps(join(directory, 'maps'), SMALL_MAPS);
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
