// What this kernel can do, found by trying: distributions backport, so versions prove nothing.
#include "probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>

#include "args.h"
#include "kernel_abi.h"
#include "libbpf_log.h"

namespace fairlead
{

namespace
{

/// "return 1", accepted by every program type used here.
UniqueFd LoadTrivial(bpf_prog_type type, bpf_attach_type attach, uint32_t flags)
{
	std::array<bpf_insn, 2> code{
		{{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = 1},
		 {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}}};
	LIBBPF_OPTS(bpf_prog_load_opts, opts);
	opts.expected_attach_type = attach;
	opts.prog_flags = flags;
	int fd = bpf_prog_load(type, nullptr, "Dual BSD/GPL", code.data(), code.size(), &opts);
	return UniqueFd(fd);
}

bool HasAttachType(bpf_prog_type type, bpf_attach_type attach)
{
	return static_cast<bool>(LoadTrivial(type, attach, 0));
}

bool HasHelper(bpf_prog_type type, bpf_func_id helper)
{
	return libbpf_probe_bpf_helper(type, helper, nullptr) == 1;
}

bool HasMap(bpf_map_type type, uint32_t key, uint32_t value, uint32_t entries, uint32_t flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	opts.map_flags = flags;
	return static_cast<bool>(UniqueFd(bpf_map_create(type, nullptr, key, value, entries, &opts)));
}

bool HasBatches()
{
	UniqueFd map(bpf_map_create(BPF_MAP_TYPE_HASH, nullptr, 4, 4, 1, nullptr));
	uint32_t next = 0, key = 0, value = 0, count = 1;
	return map && bpf_map_lookup_batch(map.get(), nullptr, &next, &key, &value, &count, nullptr) == -ENOENT;
}

bool HasMembarrier()
{
	long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
	return commands >= 0 && (commands & MEMBARRIER_CMD_GLOBAL) != 0;
}

void SetKernel(Napi::Object js)
{
	utsname name{};
	if (uname(&name) < 0)
		throw SysError(errno, "uname", "cannot read the kernel's version");
	unsigned version[3] = {0, 0, 0};
	sscanf(name.release, "%u.%u.%u", &version[0], &version[1], &version[2]);
	Napi::Array numbers = Napi::Array::New(js.Env());
	for (uint32_t i = 0; i < 3; i++)
		numbers.Set(i, version[i]);
	js.Set("release", name.release);
	js.Set("version", numbers);
}

Napi::Value Probe(const Napi::CallbackInfo &info)
{
	if (!HasMap(BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0))
		throw SysError(errno, "BPF_MAP_CREATE", "cannot use BPF at all");
	LibbpfLog quiet;
	Napi::Object js = Napi::Object::New(info.Env());
	SetKernel(js);
	js.Set("btf", access("/sys/kernel/btf/vmlinux", R_OK) == 0);
	js.Set("tcx", KernelHasTcx());
	js.Set("ringbuf", HasMap(BPF_MAP_TYPE_RINGBUF, 0, 0, static_cast<uint32_t>(sysconf(_SC_PAGESIZE)), 0));
	js.Set("mmapableArray", HasMap(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_MMAPABLE));
	js.Set("batchOps", HasBatches());
	js.Set("bpfSetRetval", HasHelper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_set_retval));
	js.Set("redirectPeer", HasHelper(BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_redirect_peer));
	js.Set("redirectNeigh", HasHelper(BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_redirect_neigh));
	js.Set("fibLookup", HasHelper(BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_fib_lookup));
	js.Set("jiffies64", HasHelper(BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_jiffies64));
	js.Set("bpfLoop", HasHelper(BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_loop));
	js.Set("netnsCookie", HasHelper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_get_netns_cookie));
	js.Set("cgroupGetpeername", HasAttachType(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_GETPEERNAME));
	js.Set("cgroupSockRelease", HasAttachType(BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET_SOCK_RELEASE));
	js.Set("xdpFrags", static_cast<bool>(LoadTrivial(BPF_PROG_TYPE_XDP, BPF_XDP, BPF_F_XDP_HAS_FRAGS)));
	js.Set("membarrier", HasMembarrier());
	return js;
}

} // namespace

bool KernelHasTcx()
{
	UniqueFd program = LoadTrivial(BPF_PROG_TYPE_SCHED_CLS, static_cast<bpf_attach_type>(0), 0);
	// No interface has this index: a kernel with tcx answers ENODEV, one without EINVAL before it looks.
	return program && bpf_link_create(program.get(), INT_MAX, abi::kTcxIngress, nullptr) == -ENODEV;
}

void ExportProbe(Napi::Object exports)
{
	Export<Probe>(exports, "probe");
}

} // namespace fairlead
