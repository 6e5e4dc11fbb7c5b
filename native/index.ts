/**
 * The only door to the kernel's BPF, network namespaces and rings.
 *
 * Every object here owns one kernel resource. `close()` gives it back at once and may be called again; what is never
 * closed is given back by the garbage collector or when the environment ends. Attached links outlive the process only
 * when pinned. Failures are NativeError; wrong arguments are TypeError with code ERR_INVALID_ARG_VALUE.
 */
export type { LinkInfo, MapInfo, SweepResult, TestRunResult, Where } from './facade/addon.ts';
export { NativeError } from './facade/error.ts';
export type { KernelFeatures } from './facade/features.ts';
export { cgroupPrograms, tcxPrograms, xdpPrograms } from './facade/hooks.ts';
export { BpfLink, type CgroupAttachType, type ClsactSlot, clsact } from './facade/link.ts';
export { BPF_ANY, BPF_EXIST, BPF_NOEXIST, BpfMap, type MapSpec } from './facade/map.ts';
export { NetlinkListener, type NetlinkListenerOptions } from './facade/netlink-listener.ts';
export {
	createNetns,
	type NetlinkJob,
	type NetlinkTurn,
	netlinkRequest,
	netnsInode,
	openSocketInNetns,
} from './facade/netns.ts';
export { BpfObject } from './facade/object.ts';
export { PacketSocket, VIRTIO_HEADER_BYTES } from './facade/packet-socket.ts';
export { BpfProgram } from './facade/program.ts';
export { RingBuffer } from './facade/ring.ts';
export {
	type AimSpec,
	ANY_PROTO,
	type FlowEnd,
	type FlowPattern,
	type FlowTableSpec,
	type IdleRule,
	type MasqueradeSpec,
	moveEntries,
	type PairSpec,
	type SweepSpec,
	sweepMap,
	type TallySpec,
} from './facade/sweep.ts';
export {
	btfOfId,
	ifindexOf,
	linkIds,
	mapIds,
	membarrier,
	membarrierAsync,
	netnsCookie,
	netnsCookieAsync,
	peerCredentials,
	possibleCpus,
	probe,
	programIds,
	trimMemory,
	writeAside,
	xdpMode,
} from './facade/system.ts';
