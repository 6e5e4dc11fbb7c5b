/** A compiler that follows a world, with the maps that come of it. */

import type { Cidr } from '../../agent/model/address.ts';
import type { PeerRow } from '../../agent/plan/peers.ts';
import { PolicyCompiler, type PolicyHints, type PolicyInput } from '../../agent/plan/policy/compiler.ts';
import type { PolicyStep } from '../../agent/plan/policy/types.ts';
import { Identity, PeerKind } from '../../native/abi/generated.ts';
import { PlannedMaps, type RowFlow, rowFlow } from './policy-rows.ts';
import type { PolicyFlow, PolicyWorld } from './policy-simulator.ts';

type Kind = 'namespaces' | 'pods' | 'nodes' | 'networkPolicies' | 'clusterNetworkPolicies';
const KINDS: readonly Kind[] = ['namespaces', 'pods', 'nodes', 'networkPolicies', 'clusterNetworkPolicies'];

/** Rows as planPeers() makes them for cluster prefixes. */
export function peerCidrs(clusterCidrs: readonly Cidr[]): Map<Cidr, PeerRow> {
	const row = { kind: PeerKind.UNKNOWN, node: null, identity: Identity.UNKNOWN_POD };
	return new Map(clusterCidrs.map((cidr) => [cidr, { cidr, ...row }]));
}

export class CompiledWorld {
	readonly compiler: PolicyCompiler;
	readonly maps = new PlannedMaps();
	readonly nodeName: string;
	readonly #seen = new Map<Kind, Map<string, unknown>>(KINDS.map((kind) => [kind, new Map()]));
	#first = true;

	/** @param audit  every policy is in audit mode */
	constructor(nodeName = 'node-1', hints?: PolicyHints, audit = false) {
		this.nodeName = nodeName;
		this.compiler = new PolicyCompiler({ nodeName, audit, ...(hints !== undefined && { hints }) });
	}

	/** Hands over what changed since the last call. @returns the steps, not yet in the maps */
	plan(world: PolicyWorld): readonly PolicyStep[] {
		const input: Record<string, unknown> = {};
		for (const kind of KINDS) {
			const changes = new Map<string, unknown>();
			const seen = this.#seen.get(kind) as Map<string, unknown>;
			const now: ReadonlyMap<string, unknown> = world[kind];
			for (const [key, value] of now) if (seen.get(key) !== value) changes.set(key, value);
			for (const key of seen.keys()) if (!now.has(key)) changes.set(key, null);
			this.#seen.set(kind, new Map(now));
			if (changes.size > 0) input[kind] = changes;
		}
		if (this.#first) input.peerCidrs = peerCidrs(world.clusterCidrs);
		this.#first = false;
		return this.compiler.apply(input as PolicyInput);
	}

	/** Follows the world, maps and all. */
	follow(world: PolicyWorld): void {
		for (const step of this.plan(world)) {
			this.maps.apply(step);
			this.compiler.free({ sets: step.retiredSets, identities: step.retiredIdentities });
		}
	}

	ownAddresses(world: PolicyWorld): ReadonlySet<string> {
		const own = world.nodes.get(this.nodeName);
		return new Set([...(own?.internalIps ?? []), ...(own?.externalIps ?? [])]);
	}

	verdict(world: PolicyWorld, flow: PolicyFlow): RowFlow {
		return rowFlow(this.maps, flow, this.ownAddresses(world));
	}

	/** Name of a rule as the simulator writes it. */
	reason(cookie: number): string {
		return this.compiler.cookies.name(cookie) ?? `unknown cookie ${cookie}`;
	}
}
