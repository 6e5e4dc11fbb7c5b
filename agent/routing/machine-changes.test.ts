import { execFileSync } from 'node:child_process';
import { beforeEach, describe, expect, it } from 'vitest';
import { netlinkRequest } from '../../native/index.ts';
import { listenToMachine, type MachineNotice } from '../kernel/machine-notices.ts';
import { Netlink } from '../kernel/netlink.ts';
import { MachineChanges } from './machine-changes.ts';

const LIMIT_MS = 10_000;
const netns = `flmc${process.pid}`;
const netnsPath = `/run/netns/${netns}`;
const isPod = (name: string): boolean => /^fl[0-9a-f]{11}$/.test(name);

/** Runs commands of `ip`, separated by semicolons, in the namespace of the machine. */
function ip(commands: string): void {
	const input = commands
		.split(';')
		.map((line) => `${line.trim()}\n`)
		.join('');
	execFileSync('ip', ['-n', netns, '-batch', '-'], { input });
}

let markers = 0;

/**
 * What the kernel tells of commands, up to a mark behind them.
 * @param isLast  a notice that ends it instead of a mark: IPv6 addresses are told of by a worker of the kernel, at any time after the
 *   command
 */
async function noticesOf(commands: string, isLast?: (notice: MachineNotice) => boolean): Promise<MachineNotice[]> {
	const marker = `mark${++markers}`;
	const isMark = (notice: MachineNotice): boolean => notice.kind === 'link' && notice.link.name === marker;
	const notices: MachineNotice[] = [];
	const { promise, resolve, reject } = Promise.withResolvers<void>();
	const listener = listenToMachine({
		netns: netnsPath,
		isPod,
		onNotices: (read, isComplete) => {
			const some = read();
			if (!isComplete) reject(new Error('notices were lost'));
			const end = some.findIndex(isLast ?? isMark);
			notices.push(...some.slice(0, end < 0 ? undefined : end));
			if (end >= 0) resolve();
		},
		onEnd: (why) => reject(new Error(why)),
	});
	const timer = setTimeout(
		() => reject(new Error(`no end behind ${notices.map(({ kind }) => kind).join()}`)),
		LIMIT_MS,
	);
	try {
		ip(commands);
		if (isLast === undefined) ip(`link add ${marker} type bridge`);
		await promise;
	} finally {
		clearTimeout(timer);
		listener.close();
	}
	return notices;
}

/**
 * A machine with an uplink eth0, another interface eth1, both up with addresses, one without, a pod, and the devices of an agent. Its
 * nodes are named as in life, so each test has it anew.
 */
const MACHINE = `
	link set lo up;
	link add eth0 type veth peer name far0; link add eth1 type veth peer name far1; link add idle type veth peer name far2;
	link add fl_host type veth peer name fl_host_peer; link add fl_vxlan type vxlan external dstport 8472;
	link add fl0123456789a type veth peer name pod;
	link set far0 up; link set far1 up; link set eth0 up; link set eth1 up; link set fl_host up; link set fl_host_peer up;
	link set fl_vxlan up;
	addr add 192.0.2.1/24 dev eth0; addr add 2001:db8::1/64 dev eth0 nodad; addr add 198.51.100.1/24 dev eth1;
	route add default via 192.0.2.254;
	route add 10.244.2.0/24 via 192.0.2.2 proto 160; route add unreachable 10.244.1.0/24 proto 160;
	route add 10.244.1.5/32 dev fl_host proto 160; route add 203.0.113.0/24 via 192.0.2.3`;

let changes: MachineChanges;

/** Whether the node loop has to look after these commands. */
const matter = async (commands: string): Promise<boolean> => changes.take(await noticesOf(commands));

/** @throws Error when none of what the kernel tells of these commands makes the node loop look */
const matterInTime = (commands: string): Promise<unknown> => noticesOf(commands, (notice) => changes.take([notice]));

beforeEach(async () => {
	execFileSync('ip', ['netns', 'add', netns]);
	ip(MACHINE);
	// what the kernel does by itself after that has been told of
	await noticesOf('link set far2 up');
	const netlink = new Netlink({ request: netlinkRequest, netns: netnsPath });
	changes = new MachineChanges({
		isUplink: (name) => name === 'eth0' || name === 'eth7',
		isPlanned: (dst) => dst === '10.244.2.0/24' || dst === '10.244.1.0/24',
		isPod,
	});
	changes.reset(await netlink.links(), await netlink.addresses());
	return () => execFileSync('ip', ['netns', 'del', netns]);
});

describe('the node loop has to look', () => {
	it.each([
		['an interface gets its first address', 'addr add 198.51.100.9/24 dev idle'],
		['an interface gets another address', 'addr add 2001:db8:1::1/64 dev eth1 nodad'],
		['an address goes', 'addr del 198.51.100.1/24 dev eth1'],
		['an interface with an address goes down', 'link set eth1 down'],
		['an interface with an address gets another MTU', 'link set eth1 mtu 1400'],
		['an interface with an address goes', 'link del eth1'],
		[
			'an interface with an address becomes part of a bridge',
			'link add bridge0 type bridge; link set eth1 master bridge0',
		],
		['an interface is replaced by one of its name', 'link del eth0; link add eth0 type veth peer name far9'],
		['an uplink without an address appears', 'link add eth7 type veth peer name far7'],
		['an uplink gets another name', 'link set eth0 down; link set eth0 name wan0'],
		['there is another default route', 'route add default via 198.51.100.254 metric 7'],
		['a default route goes', 'route del default'],
		['there is a default route over IPv6', 'route add default via 2001:db8::fe'],
		['somebody removes a route to the pods of a node', 'route del 10.244.2.0/24'],
		['somebody removes the route of the own pods', 'route del unreachable 10.244.1.0/24'],
		['somebody removes the overlay', 'link del fl_vxlan'],
		['somebody removes the host device', 'link del fl_host'],
		['somebody takes the overlay down', 'link set fl_vxlan down'],
		['somebody changes the host device', 'link set fl_host mtu 1400'],
	])('when %s', async (_, commands) => {
		await expect(matterInTime(commands)).resolves.toBeDefined();
	});
});

describe('the node loop is left alone', () => {
	const PODS = Array.from({ length: 100 }, (_, i) => {
		const name = `fl${i.toString(16).padStart(11, '0')}`;
		const address = `10.244.1.${i + 10}`;
		return [
			`link add ${name} type veth peer name p${i}; link set ${name} up alias pod; link set p${i} up`,
			`neigh replace ${address} lladdr 02:00:00:00:00:01 dev ${name}; route add ${address}/32 dev ${name} proto 160`,
		];
	}).flat();

	it('while pods come and go', async () => {
		expect(await matter(PODS.join(';'))).toBe(false);
		const gone = PODS.filter((_, i) => i % 2 === 0).map((line) => line.split(' ')[2]);
		expect(await matter(gone.map((name) => `link set ${name} down; link del ${name}`).join(';'))).toBe(false);
	});

	it('hears nothing of the interfaces of pods, nor of their routes when they come', async () => {
		const heard = await noticesOf(PODS.slice(0, 2).join(';'));
		const names = heard.map((notice) => (notice.kind === 'link' ? notice.link.name : notice.kind));
		expect([...new Set(names)].filter((name) => name !== 'address')).toEqual(['p0']);
	});

	it.each([
		['what is there is said again', 'addr replace 198.51.100.1/24 dev eth1; link set eth1 up; link set eth0 mtu 1500'],
		[
			'routers and lifetimes say an address again',
			'addr change 2001:db8::1/64 dev eth0 valid_lft 999 preferred_lft 99',
		],
		['carrier comes and goes', 'link set far1 down; link set far1 up'],
		['an interface that nobody uses comes, changes and goes', 'link add x type bridge; link set x up; link del x'],
		['pods of another plugin are attached', 'link add bridge0 type bridge; link set idle master bridge0'],
		['link-local addresses and those of lo change', 'addr add 203.0.113.9/32 dev lo; addr add fe80::9/64 dev eth1'],
		['others change routes to somewhere', 'route del 203.0.113.0/24; route add 203.0.113.128/25 via 192.0.2.3'],
		['another table gets a default route', 'route add default via 192.0.2.254 table 101'],
		['the agent changes routes to nodes', 'route replace 10.244.2.0/24 via 192.0.2.9 proto 160'],
		['the agent removes the route of a pod', 'route del 10.244.1.5/32'],
		['the agent adds and removes a node', 'route add 10.244.9.0/24 via 192.0.2.9 proto 160; route del 10.244.9.0/24'],
	])('when %s', async (_, commands) => {
		expect(await matter(commands)).toBe(false);
	});

	it('when the agent makes a device of its own again', async () => {
		await matter('link del fl_vxlan');
		const made = 'link add fl_vxlan type vxlan external dstport 8472; link set fl_vxlan mtu 1400; link set fl_vxlan up';
		expect(await matter(made)).toBe(false);
		expect(await matter('link set fl_vxlan down')).toBe(true);
	});
});

it('is told when notices were lost, and of those behind them', async () => {
	const { promise, resolve, reject } = Promise.withResolvers<void>();
	const timer = setTimeout(() => reject(new Error('nothing was lost')), LIMIT_MS);
	const links = Array.from({ length: 100 }, (_, i) => `link add many${i} group 7 type bridge`);
	ip(links.join(';'));
	let lost = false;
	const listener = listenToMachine({
		netns: netnsPath,
		isPod,
		onNotices: (read, isComplete) => {
			lost ||= !isComplete;
			if (lost && read().some((notice) => notice.kind === 'link' && notice.link.name === 'last')) resolve();
		},
		onEnd: (why) => reject(new Error(why)),
	});
	try {
		// more than may wait for JavaScript, which takes none of them meanwhile
		for (let i = 0; i < 60; i++) ip(`link set group 7 mtu ${1300 + i}`);
		const end = Date.now() + LIMIT_MS;
		while (!lost && Date.now() < end) await new Promise((later) => setTimeout(later, 10));
		ip('link add last type bridge');
		await promise;
	} finally {
		clearTimeout(timer);
		listener.close();
	}
});
