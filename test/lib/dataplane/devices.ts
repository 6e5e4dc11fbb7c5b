/** The devices of a world's namespace: what the programs' ifindexes and FIB look-ups refer to. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { Ifindexes } from './rows.ts';
import type { UplinkFixture, WorldFixture } from './types.ts';

/** Next hop for the world outside; a permanent neighbour. */
export const GATEWAY = { ipv4: '192.168.50.254', ipv6: 'fd50::fe', mac: '02:00:00:00:50:fe' } as const;
export const UPLINK_MAC = '02:00:00:00:50:01';

/** A veth pair whose other end is called `<name>_`; small kernels have no dummy devices. */
function veth(name: string, mac: string, mtu: number): string[] {
	return [
		`link add ${name} address ${mac} mtu ${mtu} type veth peer name ${name}_ mtu ${mtu}`,
		`link set ${name}_ up`,
		`link set ${name} up`,
	];
}

/** Of the routes that rules lead to; and the next ones. */
const TABLE = 100;

function anotherUplink({ device, ipv4, ipv6, mtu, ...u }: UplinkFixture, at: number): string[] {
	const via = (prefix: string): string => `via ${prefix.includes(':') ? u.gateway6 : u.gateway4} dev ${device}`;
	return [
		...veth(device, `02:00:00:00:51:0${at}`, mtu),
		`addr add ${ipv4}/24 dev ${device}`,
		`addr add ${ipv6}/64 dev ${device} nodad`,
		...[u.gateway4, u.gateway6].map(
			(gateway) => `neigh add ${gateway} lladdr ${GATEWAY.mac} dev ${device} nud permanent`,
		),
		...u.routes.map((prefix) => `route add ${prefix} ${via(prefix)}`),
		...(u.rules ?? []).map(
			(source) => `route add ${source.includes(':') ? '::/0' : '0.0.0.0/0'} ${via(source)} table ${TABLE + at}`,
		),
	];
}

/**
 * Makes, in the current network namespace: lo up, `uplink` with the node's addresses and a default gateway, `overlay` (VXLAN,
 * collect_md), `fl_host`, and one device per pod; forwarding is on. Returns name → ifindex.
 */
export function makeDevices(world: WorldFixture): Ifindexes {
	const lines = [
		'link set lo up',
		...veth('uplink', UPLINK_MAC, world.uplinkMtu ?? 1500),
		`addr add ${world.ipv4}/24 dev uplink`,
		`addr add ${world.ipv6}/64 dev uplink nodad`,
		`neigh add ${GATEWAY.ipv4} lladdr ${GATEWAY.mac} dev uplink nud permanent`,
		`neigh add ${GATEWAY.ipv6} lladdr ${GATEWAY.mac} dev uplink nud permanent`,
		`route add default via ${GATEWAY.ipv4} dev uplink`,
		`route add ::/0 via ${GATEWAY.ipv6} dev uplink`,
		...(world.moreUplinks ?? []).flatMap(anotherUplink),
		'link add overlay type vxlan external dstport 8472',
		'link set overlay mtu 1450 up',
		...veth('fl_host', '02:fa:00:00:00:02', 65535),
		...world.pods.flatMap((pod) => [
			...veth(pod.device, pod.hostMac, 1450),
			...(pod.ipv4 ? [`route add ${pod.ipv4}/32 dev ${pod.device}`] : []),
			...(pod.ipv6 ? [`route add ${pod.ipv6}/128 dev ${pod.device}`] : []),
		]),
	];
	execFileSync('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n`, timeout: 10_000 });
	for (const [at, { rules = [] }] of (world.moreUplinks ?? []).entries()) {
		for (const source of rules) {
			const family = source.includes(':') ? '-6' : '-4';
			const args = [family, 'rule', 'add', 'from', source, 'lookup', String(TABLE + at)];
			execFileSync('ip', args, { timeout: 10_000 });
		}
	}
	for (const path of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding']) {
		writeFileSync(`/proc/sys/net/${path}`, '1');
	}
	const links = JSON.parse(execFileSync('ip', ['-j', 'link'], { encoding: 'utf8', timeout: 10_000 })) as {
		ifname: string;
		ifindex: number;
	}[];
	return Object.fromEntries(links.map((l) => [l.ifname, l.ifindex]));
}
