/**
 * Invented flow records and clocks for the tests of flows, API and CLI.
 */

import type { PeerName } from '../../agent/flows/flow.ts';
import { emptyFlowEvent, type RuleResolver } from '../../agent/flows/history.ts';
import type { AddressResolver } from '../../agent/flows/names.ts';
import { UNKNOWN, WORLD } from '../../agent/flows/names.ts';
import type { Clock } from '../../agent/flows/observer.ts';
import type { Address } from '../../agent/model/address.ts';
import { addressBytes, addressOfBytes } from '../../agent/model/address.ts';
import { EventType, FlowEvent, Hook, L4Proto } from '../../native/abi/generated.ts';

/** Fields of an event with addresses as text. */
export type EventFields = Partial<Omit<FlowEvent, 'src' | 'dst' | 'origDst'>> & {
	readonly src?: Address;
	readonly dst?: Address;
	readonly origDst?: Address;
};

/** Bytes of a record: TCP SYN from 10.1.0.5:40000 to 10.1.1.7:8080 unless said otherwise. */
export function flowRecord(fields: EventFields = {}): Uint8Array {
	const { src = '10.1.0.5', dst = '10.1.1.7', origDst, ...rest } = fields;
	return FlowEvent.encode({
		...emptyFlowEvent(),
		type: EventType.FLOW_NEW,
		hook: Hook.FROM_POD,
		proto: L4Proto.TCP,
		tcpFlags: 2,
		family: src.includes(':') ? 6 : 4,
		sport: 40000,
		dport: 8080,
		len: 60,
		...rest,
		src: addressBytes(src),
		dst: addressBytes(dst),
		origDst: origDst === undefined ? new Uint8Array(16) : addressBytes(origDst),
	});
}

/** A clock that stands still until it is moved; both of its clocks move together. */
export class ManualClock implements Clock {
	#nowNs: bigint;
	readonly #bootNs: bigint;

	constructor(nowNs: bigint, bootNs = 0n) {
		this.#nowNs = nowNs;
		this.#bootNs = bootNs;
	}

	wallNs(): bigint {
		return this.#nowNs;
	}

	monotonicNs(): bigint {
		return this.#nowNs - this.#bootNs;
	}

	advanceNs(byNs: bigint): void {
		this.#nowNs += byNs;
	}
}

export function pod(namespace: string, name: string, labels: Record<string, string> = {}): PeerName {
	return { kind: 'pod', namespace, name, labels };
}

export function service(namespace: string, name: string): PeerName {
	return { kind: 'service', namespace, name, labels: {} };
}

/** Cookie 1: isolated by NetworkPolicy data/db; 20: a rule of it that allows; 21: a cluster policy's rule that denies. */
export const RULES: RuleResolver = {
	verdict: (cookie, direction, subject) => {
		const network = { kind: 'NetworkPolicy', namespace: 'data', name: 'db' } as const;
		const cluster = { kind: 'ClusterNetworkPolicy', namespace: '', name: 'guard' } as const;
		const rule = `${direction} rule 0`;
		if (cookie === 20) {
			const text = `NetworkPolicy data/db ${rule}`;
			return { kind: 'rule', text, policies: [network], rule, deny: false, match: 'l3-l4' };
		}
		if (cookie === 21) {
			const text = `ClusterNetworkPolicy guard ${rule}`;
			return { kind: 'rule', text, policies: [cluster], rule, deny: true, match: 'l3' };
		}
		const text = `no policy allows it at ${subject()} (isolated by NetworkPolicy data/db)`;
		return { kind: 'not-allowed', text, policies: [network], rule: '', deny: false, match: 'none' };
	},
};

/** A resolver over a plain table; addresses in 10.0.0.0/8 without an owner are `unknown`. */
export function resolverOf(owners: Readonly<Record<Address, PeerName>>): AddressResolver {
	const owner = (bytes: Uint8Array, offset: number): PeerName | undefined => owners[addressOfBytes(bytes, offset)];
	return {
		owner,
		stranger: (address) => (address.startsWith('10.') ? UNKNOWN : WORLD),
		service: (bytes, offset) => {
			const found = owner(bytes, offset);
			return found?.kind === 'service' ? found : undefined;
		},
	};
}
