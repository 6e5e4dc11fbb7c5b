/** Sees when a node's programs have a change of a service, by the maps that they read. */
import { join } from 'node:path';
import { addressBytes } from '../../agent/model/address.ts';
import { L4Proto, SvcEntry, SvcKey, SvcScope } from '../../native/abi/generated.ts';
import { BpfMap } from '../../native/index.ts';
import { type ClusterNode, eventually } from './cluster.ts';

/** One frontend of cluster scope on several nodes. Close it before the cluster goes. */
export class ServiceWatch {
	readonly #maps: readonly BpfMap[];
	readonly #key: Uint8Array;
	readonly #what: string;

	constructor(nodes: readonly ClusterNode[], address: string, port: number, proto: 'TCP' | 'UDP') {
		this.#maps = nodes.map((node) => BpfMap.openPinned(join(node.bpffsDir, 'maps', 'fl_services_1')));
		this.#key = SvcKey.encode({ addr: addressBytes(address), port, proto: L4Proto[proto], scope: SvcScope.CLUSTER });
		this.#what = `${address}:${port}/${proto}`;
	}

	/** What changes with every new set of backends; undefined = no such service. */
	versions(): (number | undefined)[] {
		return this.#maps.map((map) => {
			const value = map.get(this.#key);
			return value && SvcEntry.decode(value).generation;
		});
	}

	/** Makes a change and waits until all nodes have it. */
	async after(change: () => void): Promise<void> {
		const before = this.versions();
		change();
		await this.left(before);
	}

	/** Waits until no node has the version it had. */
	async left(before: readonly (number | undefined)[]): Promise<void> {
		await eventually(
			`all nodes have the change of ${this.#what}`,
			() => {
				const behind = this.versions().findIndex((version, i) => version === before[i]);
				if (behind >= 0) throw new Error(`node ${behind + 1} has not`);
			},
			{ intervalMs: 2 },
		);
	}

	close(): void {
		for (const map of this.#maps) map.close();
	}
}
