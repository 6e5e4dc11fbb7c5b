import { describe, expect, it } from 'vitest';
import { ask as askApi } from '../apiserver/client.ts';
import { useCluster } from '../lib/cluster/use.ts';
import { eventually } from '../lib/cluster.ts';

const TAINT = 'node.fairlead.dev/agent-not-ready';

interface EventObject {
	readonly involvedObject: { readonly kind: string; readonly name: string };
	readonly reason: string;
	readonly message: string;
	readonly count: number;
	readonly source: { readonly host: string };
}

interface NodeObject {
	readonly spec: { readonly podCIDRs?: string[]; readonly taints?: object[] };
	readonly status: { readonly conditions?: { type: string; status: string; reason: string }[] };
}

describe('the life of a node', () => {
	const cluster = useCluster({ source: 'kubernetes', nodes: 1, withoutAgents: true });
	const node = () => cluster().node(1);

	/** A request to the API server as kubectl makes it. */
	async function api(method: string, path: string, body?: object, contentType?: string): Promise<unknown> {
		await cluster().api.flush();
		const answer = await askApi({ socketPath: `${cluster().api.dir}/api.sock` }, method, path, body, contentType);
		if (answer.code >= 300) throw new Error(`${method} ${path}: ${answer.code} ${JSON.stringify(answer.body)}`);
		return answer.body;
	}

	const readNode = async () => (await api('GET', '/api/v1/nodes/node1')) as NodeObject;

	async function events(reason: string): Promise<EventObject[]> {
		const { items } = (await api('GET', '/api/v1/events')) as { items: EventObject[] };
		return items.filter((event) => event.reason === reason);
	}

	async function status(): Promise<{ problems: string[]; warnings: string[] }> {
		const { stdout } = await node().run(node().cliCommand('status', '-o', 'json'), { allowFailure: true });
		return JSON.parse(stdout) as { problems: string[]; warnings: string[] };
	}

	it('waits for the pod CIDRs of its Node, and says so', async () => {
		const { podCIDRs } = (await readNode()).spec;
		await api(
			'PATCH',
			'/api/v1/nodes/node1',
			{ spec: { podCIDR: null, podCIDRs: null } },
			'application/merge-patch+json',
		);
		const taints = [
			{ key: 'gpu', effect: 'NoSchedule' },
			{ key: TAINT, effect: 'NoSchedule' },
			{ key: TAINT, effect: 'NoExecute' },
		];
		await api('PATCH', '/api/v1/nodes/node1', { spec: { taints } }, 'application/merge-patch+json');
		node().startAgent();
		await eventually('the agent says what it waits for', async () =>
			expect((await status()).problems).toEqual(['waiting for spec.podCIDRs of Node node1']),
		);
		await eventually('there is an Event', async () => {
			expect(await events('NoPodCIDR')).toMatchObject([{ involvedObject: { kind: 'Node', name: 'node1' }, count: 1 }]);
		});
		expect(() => node().cni.network()).toThrow('no network configuration');
		expect((await readNode()).spec.taints).toEqual(taints);
		await api('PATCH', '/api/v1/nodes/node1', { spec: { podCIDRs } }, 'application/merge-patch+json');
		await node().waitReady();
	});

	it('tells the scheduler when pods can be attached, and leaves the taints of others', async () => {
		await eventually('condition and taint', async () => {
			const { spec, status: state } = await readNode();
			expect(spec.taints).toEqual([{ key: 'gpu', effect: 'NoSchedule' }]);
			expect(state.conditions).toMatchObject([{ type: 'NetworkUnavailable', status: 'False', reason: 'FairleadIsUp' }]);
		});
		await eventually('an Event', async () => expect(await events('FairleadIsUp')).toHaveLength(1));
	});

	it('takes its taint away again when somebody brings it back', async () => {
		const taints = [
			{ key: TAINT, effect: 'NoSchedule' },
			{ key: 'gpu', effect: 'NoSchedule' },
		];
		await api('PATCH', '/api/v1/nodes/node1', { spec: { taints } }, 'application/merge-patch+json');
		await eventually('it is gone', async () => expect((await readNode()).spec.taints).toEqual(taints.slice(1)));
	});
});
