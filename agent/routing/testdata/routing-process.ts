/** Runs the routing executor inside a network namespace for the test. */
import { execFileSync } from 'node:child_process';
import { netlinkRequest } from '../../../native/index.ts';
import { serve } from '../../../test/lib/netns-process.ts';
import { Netlink } from '../../kernel/netlink.ts';
import { Sysctl } from '../../kernel/sysctl.ts';
import type { RoutingPlan } from '../../plan/routing-plan.ts';
import type { DevicePlan, Devices } from '../devices.ts';
import { RoutingExecutor } from '../executor.ts';
import { detectUplink, localAddresses } from '../uplink.ts';

const netlink = new Netlink({ request: netlinkRequest });
const sysctl = new Sysctl();
const executor = new RoutingExecutor({ netlink, sysctl, managedNeighbours: true });
let devices: Devices | undefined;

const handlers: Record<string, (...args: never[]) => unknown> = {
	ip: (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8', timeout: 10_000 }),
	sysctl: (path: string) => sysctl.read(path.split('/')),
	setSysctl: (path: string, value: string) => sysctl.apply([{ path: path.split('/'), value }]).length,
	async ensure(plan: DevicePlan) {
		devices = await executor.ensureDevices(plan);
		return devices;
	},
	apply(plan: RoutingPlan, uplink: number) {
		if (devices === undefined) throw new Error('no devices');
		return executor.apply(plan, devices, uplink);
	},
	forward: (...uplinks: string[]) => executor.enableForwarding(uplinks).map((setting) => setting.path.join('/')),
	remove: () => executor.remove(),
	uplink: (wanted: string, nodeAddresses: string[]) => detectUplink(netlink, { wanted, nodeAddresses }),
	addresses: () => localAddresses(netlink),
};

serve(
	async (method, args) => handlers[method]?.(...(args as never[])),
	() => undefined,
);
