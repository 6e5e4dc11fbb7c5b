/** Which programs run at a hook, whoever attached them, by program id and in the order in which they run. */
import { addon, type Where } from './addon.ts';
import type { CgroupAttachType } from './link.ts';

/** Those of tcx; filters on a clsact qdisc run after them. @throws NativeError EINVAL before kernel 6.6, ENODEV */
export function tcxPrograms(ifindex: number, where: Where): number[] {
	return addon.tcxPrograms(ifindex, where);
}

/** Those that run for a process of the cgroup, whether they are attached to it or above. */
export function cgroupPrograms(cgroupPath: string, type: CgroupAttachType): number[] {
	return addon.cgroupPrograms(cgroupPath, type);
}

/** At most one of each mode. */
export function xdpPrograms(ifindex: number): number[] {
	return addon.xdpPrograms(ifindex);
}
