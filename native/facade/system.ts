/** Small system calls that Node.js lacks or is slow at, and what the kernel can do. */
import { addon } from './addon.ts';
import type { KernelFeatures } from './features.ts';

/** Who connected the unix socket (SO_PEERCRED), as of connect(). */
export function peerCredentials(fd: number): { pid: number; uid: number; gid: number } {
	return addon.peerCredentials(fd);
}

/**
 * Writes a new file of mode 0600 aside and renames it to `path`, in one trip to a worker thread. Not durable yet.
 * @returns its descriptor, for fsync; the caller owns it
 * @throws NativeError; nothing is left then
 */
export function writeAside(temporary: string, path: string, content: string): Promise<number> {
	return addon.writeAside(temporary, path, content);
}

/** In this process's network namespace. @throws NativeError ENODEV. */
export function ifindexOf(name: string): number {
	return addon.ifindexOf(name);
}

/** Waits until every CPU has left the BPF programs that ran when it was called. Takes milliseconds: see membarrierAsync. */
export function membarrier(): void {
	addon.membarrier();
}

/** As membarrier(), without blocking the event loop. */
export function membarrierAsync(): Promise<void> {
	return addon.membarrierAsync();
}

/** The raw BTF (header and all) of a BTF id, such as MapInfo.btfId. */
export function btfOfId(id: number): Uint8Array {
	return addon.btfOfId(id);
}

/** How XDP is attached to an interface now. */
export function xdpMode(ifindex: number): 'none' | 'native' | 'generic' | 'offload' {
	return addon.xdpMode(ifindex);
}

/** CPUs that per-CPU map values cover. */
export function possibleCpus(): number {
	return addon.possibleCpus();
}

/** Number of this process's network namespace, as BPF programs see it (bpf_get_netns_cookie); 0n before kernel 5.14. */
export function netnsCookie(): bigint {
	return addon.netnsCookie();
}

/** As netnsCookie(), of the namespace whose file is at `netns`. @throws NativeError when there is none */
export function netnsCookieAsync(netns: string): Promise<bigint> {
	return addon.netnsCookieAsync(netns);
}

/** Gives memory that malloc has freed but kept back to the kernel; takes milliseconds. */
export function trimMemory(): void {
	addon.trimMemory();
}

/** Ids of all maps, programs and links on this machine. */
export function mapIds(): number[] {
	return addon.mapIds();
}
export function programIds(): number[] {
	return addon.programIds();
}
export function linkIds(): number[] {
	return addon.linkIds();
}

/** What this kernel can do. Loads trivial programs: call it once at start. @throws NativeError EPERM without CAP_BPF. */
export function probe(): KernelFeatures {
	return addon.probe();
}
