/** What the running kernel can do; every flag was found by trying it. */
export interface KernelFeatures {
	/** As `uname -r`. */
	release: string;
	version: [major: number, minor: number, patch: number];
	/** /sys/kernel/btf/vmlinux is readable: CO-RE objects can be loaded. */
	btf: boolean;
	/** tcx links (6.6). Without: clsact. */
	tcx: boolean;
	/** BPF_MAP_TYPE_RINGBUF (5.8). */
	ringbuf: boolean;
	/** BPF_F_MMAPABLE arrays (5.5). */
	mmapableArray: boolean;
	/** BPF_MAP_*_BATCH (5.6). */
	batchOps: boolean;
	/** bpf_set_retval in cgroup sock_addr programs (5.18). */
	bpfSetRetval: boolean;
	/** bpf_redirect_peer (5.10). */
	redirectPeer: boolean;
	/** bpf_redirect_neigh (5.10). */
	redirectNeigh: boolean;
	fibLookup: boolean;
	/** bpf_jiffies64 (5.5). */
	jiffies64: boolean;
	/** bpf_loop (5.17). */
	bpfLoop: boolean;
	/** bpf_get_netns_cookie in cgroup sock_addr programs (5.8). */
	netnsCookie: boolean;
	/** cgroup getpeername4/6 (5.8). */
	cgroupGetpeername: boolean;
	/** cgroup sock_release (5.9). */
	cgroupSockRelease: boolean;
	/** XDP programs that take multi-buffer packets (5.18). */
	xdpFrags: boolean;
	/** MEMBARRIER_CMD_GLOBAL, which map updates through shared memory rely on. */
	membarrier: boolean;
}
