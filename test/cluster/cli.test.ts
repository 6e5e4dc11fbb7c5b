/**
 * `fairlead` against a live agent: what it shows must be what the traffic was.
 */
import { execFile } from 'node:child_process';
import { chmodSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { useCluster } from '../lib/cluster/use.ts';
import { ask } from '../lib/cluster.ts';
import { ECHO_PORT, type EchoPods, populate, VIP } from '../lib/echo-cluster.ts';
import { type CliProcess, NODE, runCli, startCli } from '../lib/fairlead-cli.ts';

interface JsonFlow {
	readonly flow: {
		readonly verdict: string;
		readonly kind: string;
		readonly dropReason: string;
		readonly protocol: string;
		readonly source: { readonly name: string; readonly address: string };
		readonly destination: { readonly name: string; readonly address: string; readonly port: number };
		readonly originalDestination?: { readonly kind: string; readonly name: string; readonly port: number };
	};
}

describe('fairlead on a node with traffic', () => {
	let pods: EchoPods;
	const cluster = useCluster({ routing: 'vxlan', config: { socketLb: false, allPods: true } }, async (made) => {
		pods = await populate(made);
	});
	const node = () => cluster().node(1);
	const json = async (...args: string[]): Promise<unknown> => {
		const { code, out, err } = await runCli([...args, '-o', 'json'], { socketPath: node().socket });
		expect({ code, err }).toEqual({ code: 0, err: '' });
		return JSON.parse(out);
	};

	/** Flows that a follower printed while something was done. */
	async function flowsDuring(args: readonly string[], until: string, act: () => Promise<unknown>): Promise<JsonFlow[]> {
		const cli: CliProcess = startCli(['observe', '-f', '--last', '1', '-o', 'json', ...args], {
			socketPath: node().socket,
			timeoutMs: 40_000,
		});
		let again = true;
		const printed = cli.printed(until).finally(() => {
			again = false;
		});
		// the follower may connect later than the first packet: the traffic goes on until it has seen some
		while (again) {
			await act();
			await Promise.race([printed, new Promise((resolve) => setTimeout(resolve, 300))]);
		}
		await printed;
		cli.child.kill('SIGINT');
		const { out } = await cli.ended;
		return out
			.trimEnd()
			.split('\n')
			.map((line) => JSON.parse(line) as JsonFlow);
	}

	it('says that the agent is ready', async () => {
		expect(await json('status')).toMatchObject({ nodeName: node().name, ready: true, facts: { routing: 'vxlan' } });
	});

	it('shows the service with the pods of both nodes behind it', async () => {
		const service = (await json('service', 'get', 'echo')) as { frontends: { port: number; backends: object[] }[] };
		const tcp = service.frontends.filter((frontend) => frontend.port === 80);
		expect(tcp).toHaveLength(2);
		for (const { backends } of tcp) {
			expect(backends).toMatchObject([
				{ pod: 'a2', local: true, state: 'active' },
				{ pod: 'b1', local: false, state: 'active' },
			]);
		}
	});

	it('lists the pods of this node and both nodes', async () => {
		const { endpoints } = (await json('endpoint', 'list')) as { endpoints: { pod: string; state: string }[] };
		expect(endpoints.map(({ pod, state }) => `${pod} ${state}`)).toEqual(['a1 ready', 'a2 ready']);
		const { nodes } = (await json('node', 'list')) as { nodes: { routing: string }[] };
		expect(nodes.map(({ routing }) => routing)).toEqual(['local', 'vxlan']);
	});

	it('follows a connection to a service with the names of pod, service and backend', async () => {
		const filters = ['--pod', 'default/a1', '--to-ip', VIP.IPv4, '--kind', 'new'];
		const flows = await flowsDuring(filters, '"a1"', () =>
			ask(pods.a1, { mode: 'tcp', host: VIP.IPv4, port: 80, count: 4 }),
		);
		for (const { flow } of flows) {
			expect(flow).toMatchObject({ verdict: 'forwarded', protocol: 'tcp', source: { name: 'a1' } });
			expect(flow.originalDestination).toMatchObject({ kind: 'service', name: 'echo', port: 80 });
			expect(['a2', 'b1']).toContain(flow.destination.name);
			expect(flow.destination.port).toBe(ECHO_PORT);
		}
	});

	it('follows a drop with its reason and counts it', async () => {
		const flows = await flowsDuring(['--verdict', 'dropped', '--to-port', '81'], 'undefined_port', () =>
			ask(pods.a1, { mode: 'tcp', host: VIP.IPv4, port: 81, count: 1, timeoutMs: 500 }),
		);
		expect(flows[0]?.flow).toMatchObject({ dropReason: 'undefined_port', source: { name: 'a1' } });
		const { drops } = (await json('drops')) as { drops: { reason: string; packets: number }[] };
		expect(drops.find(({ reason }) => reason === 'undefined_port')?.packets).toBeGreaterThan(0);
	});

	it('lists the tracked connection, found by the address behind the service', async () => {
		await ask(pods.a1, { mode: 'udp', host: VIP.IPv4, port: 53, count: 8 });
		const filter = ['-a', pods.b1.address('IPv4'), '--protocol', 'udp', '-o', 'json'];
		const { out } = await runCli(['ct', 'list', ...filter], { socketPath: node().socket });
		const entries = out
			.trimEnd()
			.split('\n')
			.map((line) => JSON.parse(line) as object);
		expect(entries).toContainEqual(
			expect.objectContaining({
				sourceName: 'default/a1',
				destination: VIP.IPv4,
				destinationPort: 53,
				destinationName: 'default/echo',
				translated: pods.b1.address('IPv4'),
				translatedPort: ECHO_PORT,
			}),
		);
	});

	it('refuses users other than root even if the socket were open to everybody', async () => {
		for (let at = dirname(node().socket); at !== tmpdir(); at = dirname(at)) chmodSync(at, 0o755);
		chmodSync(node().socket, 0o666);
		const connect = `require('net').connect(process.argv[1]).on('error', (e) => console.log(e.code)).on('close', () => console.log('closed')).resume()`;
		const asUser = (uid: number, timeout: number) =>
			promisify(execFile)(NODE, ['-e', connect, node().socket], { uid, timeout, killSignal: 'SIGKILL' }).then(
				({ stdout }) => stdout,
				() => 'stays open',
			);
		expect(await asUser(65534, 60_000), statSync(node().socket).mode.toString(8)).toBe('closed\n');
		expect(await asUser(0, 3000)).toBe('stays open');
		expect((await runCli(['status'], { socketPath: node().socket })).code).toBe(0);
	});
});
