/**
 * Does policy operations. References and their identities share entries with other tables, so identities are changed inside what
 * is there; only addresses of pods on other nodes have entries of policy's own.
 */
import {
	CidrKey,
	Endpoint,
	EndpointFlags,
	IpcacheEntry,
	IpcacheKey,
	PeerKind,
	PolicyKey,
	PolicyRow,
	PolicySet,
} from '../../native/abi/generated.ts';
import type { Address, Cidr } from '../model/address.ts';
import { addressBytes, addressOfBytes, cidrParts, familyOf } from '../model/address.ts';
import type { PeerRow } from '../plan/peers.ts';
import type { AddressOwner } from '../plan/policy/types.ts';
import { PolicyGenerations } from './policy-generations.ts';
import type { Extent, PeerReferences, PolicyKernel, PolicyOp } from './policy-kernel.ts';
import { storedWords } from './policy-ranges.ts';

const SET_WORDS = PolicySet.size / 8;
const SET_FLAGS_AT = 32;
/** Calls are synchronous and copy: one key and one row are enough for all. */
const KEY_BYTES = new Uint8Array(PolicyKey.size);
const KEY_VIEW = new DataView(KEY_BYTES.buffer);
const ROW_BYTES = new Uint8Array(PolicyRow.size);
const ROW_VIEW = new DataView(ROW_BYTES.buffer);
const NO_REFERENCE = { index: 0, gen: 0 };

/** The shared arrays in the forms that make single stores. */
export interface PolicyMemory {
	readonly setWords: BigUint64Array;
	readonly setFlags: Uint32Array;
	readonly ranges: Uint32Array;
	readonly generations: PolicyGenerations;
}

export function policyMemory(kernel: PolicyKernel): PolicyMemory {
	const words = (view: DataView): Uint32Array => new Uint32Array(view.buffer, view.byteOffset, view.byteLength >>> 2);
	const sets = kernel.shared('policyset');
	return {
		setWords: new BigUint64Array(sets.buffer, sets.byteOffset, sets.byteLength >>> 3),
		setFlags: words(sets),
		ranges: words(kernel.shared('ranges')),
		generations: new PolicyGenerations(kernel),
	};
}

/** Does one operation. @throws what the kernel throws */
export function applyPolicyOp(op: PolicyOp, kernel: PolicyKernel, memory: PolicyMemory, refs: PeerReferences): void {
	switch (op.kind) {
		case 'ranges-set':
			memory.ranges.set(storedWords(op.row.ranges), op.base * 2);
			return;
		case 'row-set': {
			const key = { set: op.set, peer: op.peer };
			PolicyKey.encodeInto(key, KEY_VIEW, 0);
			PolicyRow.encodeInto({ key, ranges: op.extent }, ROW_VIEW, 0);
			kernel.mapSet('policy', KEY_BYTES, ROW_BYTES);
			return;
		}
		case 'row-delete':
			kernel.mapDelete('policy', PolicyKey.encode({ set: op.set, peer: op.peer }));
			return;
		case 'default-set': {
			const word = (op.who === 'pods' ? 0 : 2) + (op.direction === 'ingress' ? 0 : 1);
			Atomics.store(memory.setWords, op.set * SET_WORDS + word, extentWord(op.extent));
			return;
		}
		case 'flags-set':
			Atomics.store(memory.setFlags, (op.set * PolicySet.size + SET_FLAGS_AT) >>> 2, op.flags);
			return;
		case 'cidr-set': {
			const value = cidrValue(op.row, refs);
			if (value !== undefined) replace('cidrs', cidrKey(op.cidr), value, kernel);
			return;
		}
		case 'cidr-delete':
			kernel.mapDelete('cidrs', cidrKey(op.cidr));
			return;
		case 'address-set':
			setAddress(op.address, op.identity, op.owner, kernel, refs);
			return;
		case 'address-delete':
			deleteAddress(op.address, op.identity, kernel);
			return;
		case 'endpoint-set':
			setEndpoint(op, kernel, memory, refs);
			return;
		case 'generation-bump':
			for (const { index } of refs.podRefs(op.pod)) memory.generations.bump(index);
			return;
	}
}

function extentWord({ base, count }: Extent): bigint {
	return BigInt(base) | (BigInt(count) << 32n);
}

export function cidrKey(cidr: Cidr): Uint8Array {
	const { address, prefixLength } = cidrParts(cidr);
	return CidrKey.encode({ prefixLen: prefixLength + (familyOf(cidr) === 4 ? 96 : 0), addr: addressBytes(address) });
}

/** undefined = its node has no row: better no entry than a wrong one. */
export function cidrValue(row: PeerRow, refs: PeerReferences): Uint8Array | undefined {
	const reference = row.node === null ? NO_REFERENCE : refs.nodeRef(row.node);
	if (reference === undefined) return undefined;
	return IpcacheEntry.encode({ peer: { ...reference, kind: row.kind }, identity: row.identity });
}

export function ipcacheKey(address: Address): Uint8Array {
	return IpcacheKey.encode({ addr: addressBytes(address) });
}

function setAddress(
	address: Address,
	identity: number,
	owner: AddressOwner,
	kernel: PolicyKernel,
	refs: PeerReferences,
): void {
	const key = ipcacheKey(address);
	const bytes = kernel.mapGet('ipcache', key);
	const old = bytes === undefined ? undefined : IpcacheEntry.decode(bytes);
	const elsewhere = owner.kind === 'pod' && owner.node !== refs.nodeName;
	if (elsewhere && (old === undefined || old.peer.kind === PeerKind.REMOTE_POD)) {
		const reference = refs.nodeRef(owner.node);
		// Without a row of its node the address stays what its prefix says: a pod that is not known.
		if (reference === undefined) kernel.mapDelete('ipcache', key);
		else
			replace(
				'ipcache',
				key,
				IpcacheEntry.encode({ peer: { ...reference, kind: PeerKind.REMOTE_POD }, identity }),
				kernel,
			);
	} else if (!elsewhere && old?.peer.kind === PeerKind.REMOTE_POD) {
		kernel.mapDelete('ipcache', key);
	} else if (old !== undefined && old.identity !== identity) {
		kernel.mapSet('ipcache', key, IpcacheEntry.encode({ ...old, identity }));
	}
}

/** Entries of local pods and nodes belong to others, who remove them; until then nobody that is known has the address. */
function deleteAddress(address: Address, identity: number, kernel: PolicyKernel): void {
	const key = ipcacheKey(address);
	const bytes = kernel.mapGet('ipcache', key);
	if (bytes === undefined) return;
	const old = IpcacheEntry.decode(bytes);
	if (old.peer.kind === PeerKind.REMOTE_POD) kernel.mapDelete('ipcache', key);
	else if (old.peer.kind === PeerKind.LOCAL_POD) {
		replace('ipcache', key, IpcacheEntry.encode({ ...old, identity }), kernel);
	}
}

/** Writes what is not there as it is. */
function replace(
	map: 'ipcache' | 'cidrs' | 'endpoints',
	key: Uint8Array,
	value: Uint8Array,
	kernel: PolicyKernel,
): void {
	const old = kernel.mapGet(map, key);
	if (old === undefined || Buffer.compare(old, value) !== 0) kernel.mapSet(map, key, value);
}

/** A pod that is not attached yet gets set and identities with its first row; see EndpointIdentity. */
function setEndpoint(
	{ pod, set, identities, domains }: Extract<PolicyOp, { kind: 'endpoint-set' }>,
	kernel: PolicyKernel,
	memory: PolicyMemory,
	refs: PeerReferences,
): void {
	const ofFamily = (family: 4 | 6) => [...identities].find(([address]) => familyOf(address) === family)?.[1];
	for (const reference of refs.podRefs(pod)) {
		const key = new Uint8Array(4);
		new DataView(key.buffer).setUint32(0, reference.index, true);
		const bytes = kernel.mapGet('endpoints', key);
		if (bytes === undefined) continue;
		const old = Endpoint.decode(bytes);
		if (old.gen !== reference.gen || old.ifindex === 0) continue;
		const of = (addr: Uint8Array, family: 4 | 6) => identities.get(addressOfBytes(addr)) ?? ofFamily(family);
		const own = {
			identity: of(old.addr4, 4) ?? old.identity,
			identity6: of(old.addr6, 6) ?? old.identity6,
			flags: (old.flags & ~(EndpointFlags.ISOLATED | EndpointFlags.DNS)) | (domains ? EndpointFlags.DNS : 0),
		};
		replace('endpoints', key, Endpoint.encode({ ...old, ...own, policySet: set }), kernel);
		// Who waited in isolation was denied; its flows may go on now.
		if ((own.flags ^ old.flags) & EndpointFlags.ISOLATED) memory.generations.bump(reference.index);
	}
}
