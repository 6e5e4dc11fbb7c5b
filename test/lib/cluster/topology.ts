/**
 * The network between the nodes: a switch-and-router namespace with one bridge per subnet, and an outside client behind it.
 *
 *   client 172.31.0.10 ── router ── br0 172.30.1.0/24 ── nodes …11, …12
 *                            └───── br1 172.30.2.0/24 ── nodes of subnet 1 (for `routing: auto`)
 *
 * The router knows the node subnets only: a packet with a pod address as source finds no way back, which is what makes the
 * masquerade tests meaningful. Every namespace has its own addresses, so clusters may run at the same time.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './exec.ts';

export interface NodeAddresses {
	readonly v4: string;
	readonly v6: string;
	readonly podCidr4: string;
	readonly podCidr6: string;
}

export const CLIENT = { v4: '172.31.0.10', v6: 'fd00:31::10' };
export const ROUTER_OUTSIDE = { v4: '172.31.0.1', v6: 'fd00:31::1' };
export const SERVICE_CIDRS = ['10.96.0.0/16', 'fd00:96::/112'];

/** Addresses of node `index` (from 1) in subnet `subnet` (from 0). */
export const nodeAddresses = (index: number, subnet: number): NodeAddresses => ({
	v4: `172.30.${subnet + 1}.${10 + index}`,
	v6: `fd00:30:${subnet + 1}::${10 + index}`,
	podCidr4: `10.244.${index}.0/24`,
	podCidr6: `fd00:244:${index}::/64`,
});

const NO_DAD = 'nodad';
/** Addresses are usable at once: nobody else is on these networks. */
export const WITHOUT_DAD = { 'net/ipv6/conf/default/accept_dad': 0, 'net/ipv6/conf/all/accept_dad': 0 };

/** Runs `ip` commands of one namespace in one process. */
export async function ipBatch(netns: string, dir: string, lines: readonly string[]): Promise<void> {
	const file = join(dir, `${netns}.ip`);
	writeFileSync(file, `${lines.join('\n')}\n`);
	await run(['ip', '-n', netns, '-batch', file]);
}

/** Sets sysctls inside a namespace: `net/ipv4/ip_forward` → value. */
export async function setSysctls(netns: string, values: Record<string, string | number>): Promise<void> {
	const script = Object.entries(values)
		.map(([path, value]) => `echo ${value} >/proc/sys/${path}`)
		.join('\n');
	await run(['nsenter', `--net=/run/netns/${netns}`, 'sh', '-ec', script]);
}

/** Makes the namespace of the switch and router, and that of the outside client. */
export async function createNetwork(name: string, dir: string, subnets: readonly number[]): Promise<void> {
	const router = `${name}-router`;
	const client = `${name}-client`;
	await run(['ip', 'netns', 'add', router]);
	await run(['ip', 'netns', 'add', client]);
	await setSysctls(client, WITHOUT_DAD);
	await setSysctls(router, { ...WITHOUT_DAD, 'net/ipv4/ip_forward': 1, 'net/ipv6/conf/all/forwarding': 1 });
	await run([
		'sh',
		'-c',
		`nsenter --net=/run/netns/${router} sh -c 'for f in /proc/sys/net/bridge/bridge-nf-call-*; do echo 0 >$f; done' || true`,
	]);
	const lines = ['link set lo up', `link add outside type veth peer name eth0 netns ${client}`];
	for (const s of subnets) {
		lines.push(`link add br${s} type bridge forward_delay 0 mcast_snooping 0`, `link set br${s} up`);
		lines.push(`addr add 172.30.${s + 1}.1/24 dev br${s}`, `addr add fd00:30:${s + 1}::1/64 dev br${s} ${NO_DAD}`);
	}
	lines.push(`addr add ${ROUTER_OUTSIDE.v4}/24 dev outside`, `addr add ${ROUTER_OUTSIDE.v6}/64 dev outside ${NO_DAD}`);
	lines.push('link set outside up');
	await ipBatch(router, dir, lines);
	await ipBatch(client, dir, [
		'link set lo up',
		`addr add ${CLIENT.v4}/24 dev eth0`,
		`addr add ${CLIENT.v6}/64 dev eth0 ${NO_DAD}`,
		'link set eth0 up',
		`route add default via ${ROUTER_OUTSIDE.v4}`,
		`route add default via ${ROUTER_OUTSIDE.v6}`,
	]);
}

/** Makes the namespace of node `index` and plugs its eth0 into the switch. Its sysctls stay the kernel's defaults but for DAD. */
export async function createNode(name: string, dir: string, index: number, subnet: number): Promise<string> {
	const netns = `${name}-node${index}`;
	const address = nodeAddresses(index, subnet);
	await run(['ip', 'netns', 'add', netns]);
	await setSysctls(netns, WITHOUT_DAD);
	await ipBatch(`${name}-router`, dir, [
		`link add node${index} type veth peer name eth0 netns ${netns}`,
		`link set node${index} master br${subnet} up`,
	]);
	await ipBatch(netns, dir, [
		'link set lo up',
		`addr add ${address.v4}/24 dev eth0`,
		`addr add ${address.v6}/64 dev eth0 ${NO_DAD}`,
		'link set eth0 up',
		`route add default via 172.30.${subnet + 1}.1`,
		`route add default via fd00:30:${subnet + 1}::1`,
	]);
	// A veth hands over packets whose checksum is not computed yet; reflected by XDP they would leave with a wrong one.
	for (const [ns, device] of [
		[netns, 'eth0'],
		[`${name}-router`, `node${index}`],
	] as const) {
		await run(['nsenter', `--net=/run/netns/${ns}`, 'ethtool', '-K', device, 'tx', 'off']);
	}
	return netns;
}
