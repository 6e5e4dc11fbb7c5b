/**
 * The pair of devices that answers of name servers take to the agent: programs send them into the near end, the agent listens at the
 * far one. The stack takes nothing from it. Made when the first policy names a domain.
 */
import { addVeth, deleteLink, setLink } from '../kernel/netlink.ts';
import { FairleadError } from '../model/errors.ts';
import type { DeviceTools } from './devices.ts';

export const DNS_DEVICES = { near: 'fl_dns', far: 'fl_dns_peer' } as const;

/** Largest that the kernel allows: whatever fits into a pod's interface fits here. */
const MTU = 65535;

export interface DnsDevices {
	/** Interface indexes. */
	readonly near: number;
	readonly far: number;
}

/**
 * Makes the pair, or what is left of it anew, and brings it up.
 * @throws FairleadError DEVICE_CONFLICT when a name is taken by something else, NETLINK_REFUSED, SYSCTL_FAILED
 */
export async function ensureDnsDevices({ netlink, sysctl }: DeviceTools): Promise<DnsDevices> {
	const names = [DNS_DEVICES.near, DNS_DEVICES.far];
	const [near, far] = [await netlink.link({ name: DNS_DEVICES.near }), await netlink.link({ name: DNS_DEVICES.far })];
	for (const found of [near, far]) {
		if (found !== undefined && found.kind !== 'veth')
			throw new FairleadError(
				'DEVICE_CONFLICT',
				`cannot use device ${found.name}: it exists and is no veth; rename it`,
			);
	}
	if (near === undefined || far === undefined || near.peerIfindex !== far.ifindex) {
		const stale = [near, far].filter((found) => found !== undefined);
		const removal = stale.map(({ name }) => ({ ...deleteLink({ name }), tolerate: ['ENODEV'] }));
		const [one, other] = names.map((name) => ({ name: name ?? '', mtu: MTU }));
		if (one !== undefined && other !== undefined) await netlink.apply([...removal, addVeth(one, other)]);
	}
	// no neighbour discovery of its own
	sysctl.apply(
		names.map((name) => ({ path: ['net', 'ipv6', 'conf', name, 'disable_ipv6'], value: '1', optional: true })),
	);
	await netlink.apply(names.map((name) => setLink({ name }, { up: true })));
	const made = [await netlink.link({ name: DNS_DEVICES.near }), await netlink.link({ name: DNS_DEVICES.far })];
	const [a, b] = made.map((link) => link?.ifindex);
	if (a === undefined || b === undefined)
		throw new FairleadError('DEVICE_CONFLICT', `device ${DNS_DEVICES.near} vanished while it was being set up`);
	return { near: a, far: b };
}
