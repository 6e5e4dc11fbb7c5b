/**
 * The pair of devices that answers of name servers take to the agent: programs send them into the near end, the agent listens at the
 * far one. The stack takes nothing from it. Made when the first policy names a domain.
 */
import { addVeth, deleteLink, type LinkInfo, setLink } from '../kernel/netlink.ts';
import type { SysctlSetting } from '../kernel/sysctl.ts';
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
	const before = await linksOf(netlink);
	for (const found of before) {
		if (found?.kind === 'veth' || found === undefined) continue;
		throw new FairleadError('DEVICE_CONFLICT', `cannot use device ${found.name}: it is no veth; rename or remove it`);
	}
	const [near, far] = before;
	if (near === undefined || far === undefined || near.peerIfindex !== far.ifindex) {
		const stale = before.filter((found) => found !== undefined);
		const removal = stale.map(({ name }) => ({ ...deleteLink({ name }), tolerate: ['ENODEV'] }));
		await netlink.apply([
			...removal,
			addVeth({ name: DNS_DEVICES.near, mtu: MTU }, { name: DNS_DEVICES.far, mtu: MTU }),
		]);
	}
	sysctl.apply(Object.values(DNS_DEVICES).map(withoutIpv6));
	const down = (await linksOf(netlink)).filter((link) => link !== undefined && !link.up);
	if (down.length > 0) await netlink.apply(down.map((link) => setLink({ name: link?.name ?? '' }, { up: true })));
	const [one, other] = await linksOf(netlink);
	if (one !== undefined && other !== undefined) return { near: one.ifindex, far: other.ifindex };
	throw new FairleadError('DEVICE_CONFLICT', `device ${DNS_DEVICES.near} vanished while it was being set up`);
}

async function linksOf(netlink: DeviceTools['netlink']): Promise<[LinkInfo | undefined, LinkInfo | undefined]> {
	return [await netlink.link({ name: DNS_DEVICES.near }), await netlink.link({ name: DNS_DEVICES.far })];
}

/** Else the kernel would send neighbour discovery of its own. */
function withoutIpv6(name: string): SysctlSetting {
	return { path: ['net', 'ipv6', 'conf', name, 'disable_ipv6'], value: '1', optional: true };
}
