/** Runs the routing executor inside a network namespace for the test. */
import { execFileSync } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import { netlinkRequest } from '../../../native/index.ts';
import { serve } from '../../../test/lib/netns-process.ts';
import { Netlink } from '../../kernel/netlink.ts';
import { Sysctl } from '../../kernel/sysctl.ts';
import type { RoutingPlan } from '../../plan/routing-plan.ts';
import type { DevicePlan, Devices } from '../devices.ts';
import { RoutingExecutor } from '../executor.ts';
import { detectUplink, factsOf, localAddresses } from '../uplink.ts';

const netlink = new Netlink({ request: netlinkRequest });
const sysctl = new Sysctl();
const executor = new RoutingExecutor({ netlink, sysctl, managedNeighbours: true });
let devices: Devices | undefined;
let senders: Worker | undefined;

/** Sends datagrams to each address, one after the other without a pause. Asked for it, tells how many the kernel took and how it refused others. */
const SENDERS = `
const { createSocket } = require('node:dgram');
const { parentPort, workerData } = require('node:worker_threads');
const report = { sent: 0, errors: new Set() };
const sockets = workerData.map((address) => ({ address, socket: createSocket(address.includes(':') ? 'udp6' : 'udp4') }));
for (const { address, socket } of sockets) {
	const send = () => socket.send('x', 9, address, (error) => {
		if (error === null) report.sent++;
		else report.errors.add(address + ' ' + error.code);
		setImmediate(send);
	});
	send();
}
parentPort.on('message', () => parentPort.postMessage({ ...report, errors: [...report.errors] }));
`;

function askSenders(): Promise<{ sent: number; errors: string[] }> {
	return new Promise((resolve, reject) => {
		if (senders === undefined) return reject(new Error('nothing sends'));
		senders.once('message', resolve).once('error', reject);
		senders.postMessage('');
	});
}

const handlers: Record<string, (...args: never[]) => unknown> = {
	ip: (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8', timeout: 10_000 }),
	sysctl: (path: string) => sysctl.read(path.split('/')),
	setSysctl: (path: string, value: string) => sysctl.apply([{ path: path.split('/'), value }]).length,
	async ensure(plan: DevicePlan) {
		devices = await executor.ensureDevices(plan);
		return devices;
	},
	async apply(plan: RoutingPlan, uplink: number) {
		if (devices === undefined) throw new Error('no devices');
		const link = await netlink.link({ ifindex: uplink });
		if (link === undefined) throw new Error('no uplink');
		return executor.apply(plan, devices, { uplink: factsOf(link, []), moreUplinks: [] });
	},
	send(addresses: readonly string[]) {
		senders = new Worker(SENDERS, { eval: true, workerData: addresses });
	},
	sent: askSenders,
	forward: (...uplinks: string[]) => executor.enableForwarding(uplinks).map((setting) => setting.path.join('/')),
	remove: () => executor.remove(),
	uplink: (wanted: string, nodeAddresses: string[]) => detectUplink(netlink, { wanted, nodeAddresses }),
	addresses: () => localAddresses(netlink),
};

serve(
	async (method, args) => handlers[method]?.(...(args as never[])),
	() => undefined,
);
