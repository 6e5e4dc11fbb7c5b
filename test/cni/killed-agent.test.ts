/** An agent that is killed amid attachments: the next one keeps what was reported as made, and nothing is left of the rest. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { HOST_IFNAME } from '../../agent/endpoints/attachment.ts';
import type { CniRequest } from '../lib/cluster/cni.ts';
import { useCluster } from '../lib/cluster/use.ts';
import { type ClusterNode, eventually, run } from '../lib/cluster.ts';

const PODS = 8;

describe('an agent that is killed amid attachments', () => {
	const cluster = useCluster({ nodes: 1 });
	const node = (): ClusterNode => cluster().node(1);

	async function makeRequest(name: string): Promise<CniRequest> {
		const netns = `${cluster().name}-${name}`;
		await run(['ip', 'netns', 'add', netns]);
		return { containerId: name, netnsPath: `/run/netns/${netns}` };
	}

	/** Asks for all at once and kills the agent when some have succeeded. @returns those that have, then the others */
	async function addAndKill(requests: readonly CniRequest[], some: number): Promise<[CniRequest[], CniRequest[]]> {
		const made: CniRequest[] = [];
		const enough = Promise.withResolvers<void>();
		const adds = requests.map(async (request) => {
			await node().cni.add(request);
			if (made.push(request) === some) enough.resolve();
		});
		await Promise.race([enough.promise, Promise.allSettled(adds)]);
		await node().killAgent();
		await Promise.allSettled(adds);
		return [made, requests.filter((request) => !made.includes(request))];
	}

	/** Everything an attachment has outside of its pod. */
	async function whatIsThere(): Promise<{ links: number; pins: number; records: number; marker: boolean }> {
		const { bpffsDir, stateDir, runDir } = node();
		const { stdout } = await node().run(['ip', '-j', 'link', 'show', 'type', 'veth']);
		return {
			links: (JSON.parse(stdout) as { ifname: string }[]).filter((link) => HOST_IFNAME.test(link.ifname)).length,
			pins: readdirSync(join(bpffsDir, 'links')).filter((name) => name.startsWith('pod_')).length,
			records: readdirSync(join(stateDir, 'attachments')).filter((name) => name.endsWith('.json')).length,
			marker: readFileSync(join(runDir, 'rcu-expedited'), 'utf8') !== '',
		};
	}

	const nothingBut = (pods: number) => ({ links: pods, pins: 2 * pods, records: pods, marker: false });

	it('leaves nothing that the next start and GC do not remove, and the pods that failed can be attached again', async () => {
		for (const some of [1, 3]) {
			const names = Array.from({ length: PODS }, (_, i) => `kill${some}pod${i}`);
			const requests = await Promise.all(names.map(makeRequest));
			const [made, failed] = await addAndKill(requests, some);
			node().startAgent();
			await node().waitReady();
			await node().cni.gc(made.map((request) => request.containerId));
			await eventually(`only the ${made.length} pods that were reported are there`, async () => {
				expect(await whatIsThere()).toEqual(nothingBut(made.length));
			});
			for (const request of made) await node().cni.check(request);
			await Promise.all(failed.map((request) => node().cni.add(request)));
			expect(await whatIsThere()).toEqual(nothingBut(PODS));
			await Promise.all(requests.map((request) => node().cni.del(request)));
			await eventually('all pods are gone', async () => expect(await whatIsThere()).toEqual(nothingBut(0)));
		}
	});
});
