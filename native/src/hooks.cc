// Which programs run at a hook, whoever attached them.
#include "hooks.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <array>
#include <cerrno>

#include "args.h"
#include "kernel_abi.h"
#include "libbpf_log.h"
#include "link.h"

namespace fairlead
{

namespace
{

/// The kernel allows 64 programs at each of these hooks, of each cgroup on the way to the root.
constexpr uint32_t kMaxPrograms = 512;

/// Ids in the order in which the programs run.
Napi::Value QueryIds(Napi::Env env, int target, bpf_attach_type type, uint32_t flags, const std::string &what)
{
	std::array<uint32_t, kMaxPrograms> ids{};
	LIBBPF_OPTS(bpf_prog_query_opts, opts);
	opts.query_flags = flags;
	opts.prog_ids = ids.data();
	opts.prog_cnt = kMaxPrograms;
	Check(bpf_prog_query_opts(target, type, &opts), "BPF_PROG_QUERY", what);
	Napi::Array list = Napi::Array::New(env);
	for (uint32_t i = 0; i < opts.prog_cnt && i < kMaxPrograms; i++)
		list.Set(i, ids.at(i));
	return list;
}

/// (ifindex, where). EINVAL before kernel 6.6.
Napi::Value TcxPrograms(const Napi::CallbackInfo &info)
{
	int ifindex = IfindexArg(info, 0);
	bool ingress = IngressArg(info, 1);
	return QueryIds(info.Env(), ifindex, ingress ? abi::kTcxIngress : abi::kTcxEgress, 0,
			std::string("cannot list programs at tcx ") + (ingress ? "ingress" : "egress") +
				" of interface " + std::to_string(ifindex));
}

/// (cgroupPath, type): those that run for a process of the cgroup, attached there or above.
Napi::Value CgroupPrograms(const Napi::CallbackInfo &info)
{
	std::string path = StringArg(info, 0, "cgroupPath");
	bpf_attach_type type = CgroupTypeArg(info, 1);
	UniqueFd cgroup =
		OwnFd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", "cannot open cgroup " + path);
	return QueryIds(info.Env(), cgroup.get(), type, BPF_F_QUERY_EFFECTIVE,
			"cannot list programs of cgroup " + path);
}

/// (ifindex): at most one of each mode.
Napi::Value XdpPrograms(const Napi::CallbackInfo &info)
{
	int ifindex = IfindexArg(info, 0);
	LibbpfLog quiet;
	LIBBPF_OPTS(bpf_xdp_query_opts, opts);
	Check(bpf_xdp_query(ifindex, 0, &opts), "RTM_GETLINK",
	      "cannot list XDP programs of interface " + std::to_string(ifindex));
	Napi::Array list = Napi::Array::New(info.Env());
	for (uint32_t id : {opts.hw_prog_id, opts.drv_prog_id, opts.skb_prog_id}) {
		if (id != 0)
			list.Set(list.Length(), id);
	}
	return list;
}

} // namespace

void ExportHooks(Napi::Object exports)
{
	Export<TcxPrograms>(exports, "tcxPrograms");
	Export<CgroupPrograms>(exports, "cgroupPrograms");
	Export<XdpPrograms>(exports, "xdpPrograms");
}

} // namespace fairlead
