/** Policy of the client pod of bench/tc-world.ts, of any size, straight into the maps. */
import { extentAt, storedWords } from '../agent/reconcile/policy-ranges.ts';
import {
	Endpoint,
	IpcacheEntry,
	PolicyCookie,
	PolicyKey,
	PolicyLimit,
	PolicyRow,
	PolicySet,
	PolicySetFlag,
	PolicyVerdictFlag,
} from '../native/abi/generated.ts';
import type { Objects } from '../test/lib/dataplane/objects.ts';
import { flat, indexKey } from '../test/lib/dataplane/rows.ts';

const CLIENT_INDEX = 1;
const SET = 1;
const TCP = 6;
const FIRST_PEER = 1000;
/** Anywhere in the table, at a cache line. */
const EXTENT_BASE = 64;
const ALLOW = (PolicyCookie.FIRST_RULE << PolicyVerdictFlag.SHIFT) | PolicyVerdictFlag.ALLOW;
const DENY = PolicyCookie.NOT_ALLOWED << PolicyVerdictFlag.SHIFT;

/**
 * Egress of set 1 with so many rules: half of them allow one port each to the peer, half allow another identity each. A row
 * has at most 8,192 ranges.
 */
export async function writePolicy(objects: Objects, rules: number, peer: string): Promise<void> {
	const ports = Math.min(Math.floor(rules / 2), PolicyLimit.RANGES / 2 - 1);
	const ranges = [{ first: 0, verdict: DENY }];
	// Every second port, and the one that is asked for (8080) among them.
	for (let n = 0; n < ports; n++) {
		const port = 8080 - 2 * Math.floor(ports / 2) + 2 * n;
		ranges.push({ first: (TCP << 16) | port, verdict: ALLOW }, { first: (TCP << 16) | (port + 1), verdict: DENY });
	}
	const words = storedWords(Uint32Array.from(ranges.flatMap(({ first, verdict }) => [first, verdict])));
	new Uint32Array(objects.map('ranges').mmap()).set(words, EXTENT_BASE * 2);
	const extent = extentAt(EXTENT_BASE, ranges.length);
	const identities = [identityOf(objects, peer), ...Array.from({ length: rules - ports }, (_, n) => FIRST_PEER + n)];
	const rows = flat(
		identities.map((identity) => {
			const key = { set: SET, peer: identity * 4 + 1 };
			return { key: PolicyKey.encode(key), value: PolicyRow.encode({ key, ranges: extent }) };
		}),
	);
	await objects.map('policy').updateBatch(rows.keys, rows.values);
	const denied = { base: EXTENT_BASE, count: 1 };
	const none = { base: 0, count: 0 };
	const set = { pods: [none, denied], others: [none, denied], flags: PolicySetFlag.OPEN_INGRESS };
	objects.map('policyset').set(indexKey(SET), PolicySet.encode(set));
}

/** Turns the policy of the client on or off. */
export function enforce(objects: Objects, on: boolean): void {
	const key = indexKey(CLIENT_INDEX);
	const old = Endpoint.decode(objects.map('endpoints').get(key) ?? new Uint8Array(Endpoint.size));
	objects.map('endpoints').set(key, Endpoint.encode({ ...old, policySet: on ? SET : 0 }));
}

function identityOf(objects: Objects, address: string): number {
	const key = new Uint8Array(16);
	key.set([0xff, 0xff, ...address.split('.').map(Number)], 10);
	return IpcacheEntry.decode(objects.map('ipcache').get(key) ?? new Uint8Array(IpcacheEntry.size)).identity;
}
