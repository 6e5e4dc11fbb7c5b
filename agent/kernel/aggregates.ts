/** gso_ipv4_max_size of an interface as a setting of the node: remembered and given back like those below /proc/sys. */
import type { LinkInfo, NetlinkMessage } from './netlink.ts';
import { setLink } from './netlink.ts';
import type { ChangedSetting } from './sysctl.ts';

const PATH = /^link\/(?<name>[^/]+)\/gso_ipv4_max_size$/;

/** @param value, found  bytes, now and before */
export function aggregateSetting(name: string, value: number, found: number): ChangedSetting {
	return { path: ['link', name, 'gso_ipv4_max_size'], value: String(value), found: String(found) };
}

/** The interface that a setting is about; undefined = it is another kind of setting. */
export function aggregateDevice(path: string): string | undefined {
	return PATH.exec(path)?.groups?.name;
}

/** Its value now; undefined when there is no such interface. */
export function aggregateNow(device: string, links: readonly LinkInfo[]): string | undefined {
	return links.find(({ name }) => name === device)?.gso?.ipv4.toString();
}

export function restoreAggregate(device: string, found: string): NetlinkMessage {
	return setLink({ name: device }, { gsoIpv4MaxSize: Number(found) });
}
