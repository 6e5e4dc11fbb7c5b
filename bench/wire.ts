/**
 * The network between machines, as cheap as a real one. A bridge between veths makes a socket buffer of each frame that was sent by
 * XDP and copies each one that arrives for XDP into a page: work of the machine that measures, which no network card and no switch
 * leaves to a node's CPU, and which takes from XDP what it saves. Here frames pass between ports as drivers hand them over.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { BpfObject } from '../native/index.ts';
import { compileBpf } from '../scripts/build-bpf.ts';
import { run } from '../test/lib/cluster/exec.ts';

export interface WireOptions {
	/** Namespace with the ports, all of one bridge. */
	readonly switchNetns: string;
	readonly ports: readonly string[];
	/** Namespaces of the machines at the ports, whose `eth0` they are. */
	readonly machines: readonly string[];
	/** For files. */
	readonly dir: string;
	/** On bpffs. */
	readonly bpffsDir: string;
}

/** Puts the program on all ports, and has the machines take frames without a socket buffer (NAPI, which `gro` switches on). */
export async function makeWire(o: WireOptions): Promise<void> {
	const output = join(o.dir, 'wire.bpf.o');
	await compileBpf({ source: join(import.meta.dirname, 'wire.bpf.c'), output });
	mkdirSync(o.bpffsDir, { recursive: true, mode: 0o700 });
	const pin = join(o.bpffsDir, 'wire');
	const object = BpfObject.open(output);
	try {
		await object.load();
		object.program('wire').pin(pin);
		const inside = (netns: string, ...command: string[]) => run(['nsenter', `--net=/run/netns/${netns}`, ...command]);
		for (const machine of o.machines) await inside(machine, 'ethtool', '-K', 'eth0', 'gro', 'on');
		for (const port of o.ports)
			await inside(o.switchNetns, 'ip', '-force', 'link', 'set', port, 'xdpdrv', 'pinned', pin);
	} finally {
		object.close();
		rmSync(o.bpffsDir, { recursive: true, force: true });
	}
}
