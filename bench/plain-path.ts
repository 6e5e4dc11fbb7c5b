/** The yardstick: two namespaces, a third one that routes between them over veth pairs. No netfilter rules, no programs. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../test/lib/cluster/exec.ts';
import { setSysctls } from '../test/lib/cluster/topology.ts';
import { Place } from '../test/lib/cluster.ts';

export interface PlainPath {
	readonly client: Place;
	readonly server: Place;
	readonly serverAddress: string;
}

/**
 * Makes the namespaces NAME-plain, NAME-plain-a and NAME-plain-b.
 * @param mtu  of both links; that of the pods it is compared with
 */
export async function makePlainPath(o: { name: string; dir: string; cgroup: string; mtu: number }): Promise<PlainPath> {
	const router = `${o.name}-plain`;
	const batch = join(o.dir, 'plain.ip');
	mkdirSync(o.dir, { recursive: true });
	await run(['ip', 'netns', 'add', router]);
	await setSysctls(router, { 'net/ipv4/ip_forward': 1 });
	const lines = ['link set lo up'];
	const places: Place[] = [];
	for (const [end, subnet] of [
		['a', 1],
		['b', 2],
	] as const) {
		const netns = `${router}-${end}`;
		await run(['ip', 'netns', 'add', netns]);
		lines.push(
			`link add to-${end} mtu ${o.mtu} type veth peer name eth0 mtu ${o.mtu} netns ${netns}`,
			`addr add 10.99.${subnet}.1/24 dev to-${end}`,
			`link set to-${end} up`,
		);
		places.push(new Place({ name: netns, netns, cgroup: join(o.cgroup, `plain-${end}`), dir: join(o.dir, netns) }));
	}
	writeFileSync(batch, `${lines.join('\n')}\n`);
	await run(['ip', '-n', router, '-batch', batch]);
	const [client, server] = places;
	if (!client || !server) {
		throw new Error('two places were made');
	}
	for (const [place, subnet] of [
		[client, 1],
		[server, 2],
	] as const) {
		await place.shell(
			`ip link set lo up; ip addr add 10.99.${subnet}.2/24 dev eth0; ip link set eth0 up; ip route add default via 10.99.${subnet}.1`,
		);
	}
	return { client, server, serverAddress: '10.99.2.2' };
}
