/**
 * A worker thread that uses the addon the way the test names: 'work' opens a bit of everything and leaves it open,
 * 'busy' goes on until it is terminated.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { BpfMap, BpfObject, NetlinkListener, netlinkRequest, RingBuffer } from '../index.ts';

const { path, mode } = workerData as { path: string; mode: 'work' | 'busy' };

async function open(): Promise<BpfObject> {
	const object = BpfObject.open(path);
	await object.load();
	new RingBuffer(object.map('events'), () => undefined);
	new NetlinkListener({ protocol: 0, groups: [1] }, () => undefined);
	const map = BpfMap.create({ type: 2, name: 'worker', keySize: 4, valueSize: 8, maxEntries: 100, flags: 1024 });
	new DataView(map.mmap()).setUint32(0, 7, true);
	return object;
}

const object = await open();
const skb = new Uint32Array(48);
skb[2] = 100;
parentPort?.postMessage('ready');
if (mode === 'work') process.exit(0);
let loading = 0;
for (;;) {
	object.program('emit').testRun({ data: new Uint8Array(64), ctx: new Uint8Array(skb.buffer) });
	void netlinkRequest({ netns: '/proc/self/ns/net', protocol: 0, messages: [] });
	void object.map('counts').dumpAsync();
	if (loading < 3) {
		loading += 1;
		void BpfObject.open(path)
			.load()
			.then(() => {
				loading -= 1;
			});
	}
	await new Promise((resolve) => setImmediate(resolve));
}
