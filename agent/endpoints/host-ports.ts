/**
 * Ports of the node that are mapped to pods: who has which. Pure.
 */
import { familyOf } from '../model/address.ts';
import { FairleadError } from '../model/errors.ts';
import type { HostPort } from '../model/host-port.ts';
import { type Attachment, ownerOf, type PortMapping } from './attachment.ts';

/** What the planner makes services of. Sorted by owner and port. */
export function hostPortsOf(attachments: Iterable<Attachment>): HostPort[] {
	const found: HostPort[] = [];
	for (const attachment of attachments) {
		for (const mapping of attachment.hostPorts) {
			found.push({ owner: ownerOf(attachment), podAddresses: attachment.addresses, ...mapping });
		}
	}
	return found.sort((a, b) => (a.owner < b.owner ? -1 : a.owner > b.owner ? 1 : a.hostPort - b.hostPort));
}

/** @throws HOST_PORT_TAKEN when one of `wanted` is mapped already, by another attachment or earlier in the same list */
export function requireFreePorts(wanted: readonly PortMapping[], owner: string, others: Iterable<Attachment>): void {
	/** Owner '' = earlier in `wanted`. */
	const taken = new Map<string, { mapping: PortMapping; owner: string }[]>();
	const note = (mapping: PortMapping, by: string): void => {
		const key = `${mapping.hostPort}/${mapping.protocol}`;
		taken.set(key, [...(taken.get(key) ?? []), { mapping, owner: by }]);
	};
	for (const other of others) for (const mapping of other.hostPorts) note(mapping, ownerOf(other));
	for (const mapping of wanted) {
		const clash = taken
			.get(`${mapping.hostPort}/${mapping.protocol}`)
			?.find((entry) => addressesMeet(entry.mapping.hostAddress, mapping.hostAddress));
		if (clash) throw portTaken(mapping, owner, clash.owner);
		note(mapping, '');
	}
}

function portTaken(mapping: PortMapping, owner: string, holder: string): FairleadError {
	const at = mapping.hostAddress === null ? '' : ` at ${mapping.hostAddress}`;
	const why = holder === '' ? 'it is asked for twice' : `it is mapped to ${holder}`;
	const text = `cannot map hostPort ${mapping.hostPort}/${mapping.protocol}${at} to ${owner}: ${why}`;
	return new FairleadError('HOST_PORT_TAKEN', text, { hostPort: mapping.hostPort, holder });
}

/** null is every address, 0.0.0.0 and :: every one of their family. */
function addressesMeet(a: string | null, b: string | null): boolean {
	if (a === null || b === null || a === b) return true;
	if (familyOf(a) !== familyOf(b)) return false;
	return [a, b].some((address) => address === '0.0.0.0' || address === '::');
}
