/** Frames with an IEEE 802.1Q tag on interfaces that Fairlead serves: the kernel takes the tag off before programs run. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { macOf, routerOf } from '../lib/cluster/outside.ts';
import { useCluster } from '../lib/cluster/use.ts';
import { CLIENT, type Pod } from '../lib/cluster.ts';
import { build, eth, ip, type Layer, udp, vlan } from '../lib/packet.ts';

const VLAN = 7;
/** Source ports by tag: of another network, of none (a priority only), none. */
const TAGGED = 5001;
const PRIORITY = 5002;
const UNTAGGED = 5003;
const SCRIPT = join(import.meta.dirname, '../lib/send-frames.ts');

describe('VLAN tags', () => {
	let pod: Pod;
	const cluster = useCluster({ nodes: 1 }, async (made) => {
		pod = await made.createPod({ node: made.node(1), name: 'p1' });
	});
	const frames = (src: string, dst: string, from: string, to: string): string[] =>
		(
			[
				[TAGGED, [vlan(VLAN)]],
				[PRIORITY, [vlan(0)]],
				[UNTAGGED, []],
			] as [number, Layer[]][]
		).map(([sport, tag]) =>
			Buffer.from(build(eth({ src, dst }), ...tag, ip(from, to), udp({ sport, dport: 9 }))).toString('hex'),
		);

	/** Source ports of the flows that the node knows from an address. */
	async function flowsFrom(address: string): Promise<number[]> {
		const { stdout } = await cluster().node(1).cli('ct', 'list', '-a', address, '-o', 'json');
		const lines = stdout.split('\n').filter((line) => line !== '');
		const flows = lines.map((line) => JSON.parse(line) as { source: string; sourcePort: number });
		return flows.flatMap(({ source, sourcePort }) => (source === address ? [sourcePort] : [])).toSorted();
	}

	it('of another network are not for the uplink that carries it; a priority alone is', async () => {
		const router = routerOf(cluster());
		const [from, to] = [await macOf(router, 'br0'), await macOf(cluster().node(1), 'eth0')];
		await router.run([process.execPath, SCRIPT, 'node1', ...frames(from, to, CLIENT.v4, pod.address('IPv4'))]);
		expect(await flowsFrom(CLIENT.v4)).toEqual([PRIORITY, UNTAGGED]);
	});

	it('of pods are refused by name: the frame would leave the node with its tag', async () => {
		const drops = async (): Promise<number> => {
			const { stdout } = await cluster().node(1).cli('drops', '-o', 'json');
			const { drops: rows } = JSON.parse(stdout) as { drops: { reason: string; packets: number }[] };
			return rows.find(({ reason }) => reason === 'unsupported_l2')?.packets ?? 0;
		};
		const [gateway] = JSON.parse((await pod.run(['ip', '-j', 'neigh', 'show', '169.254.1.1'])).stdout) as {
			lladdr: string;
		}[];
		const before = await drops();
		const sent = frames(await macOf(pod, 'eth0'), gateway?.lladdr ?? '', pod.address('IPv4'), CLIENT.v4);
		await pod.run([process.execPath, SCRIPT, 'eth0', ...sent]);
		expect((await drops()) - before).toBe(2);
		expect(await flowsFrom(pod.address('IPv4'))).toEqual([UNTAGGED]);
	});
});
