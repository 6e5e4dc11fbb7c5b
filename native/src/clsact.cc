// tc filters on a clsact qdisc: how programs were attached before tcx (kernel 6.6).
#include "clsact.h"

#include <bpf/libbpf.h>

#include <cerrno>

#include "libbpf_log.h"
#include "link.h"
#include "program.h"

namespace fairlead
{

namespace
{

struct Filter {
	bpf_tc_hook hook{};
	bpf_tc_opts opts{};
	std::string title;
};

/// (…, ifindex, where, priority, handle) from `first` on
Filter FilterArg(const Napi::CallbackInfo &info, size_t first)
{
	Filter filter;
	filter.hook.sz = sizeof filter.hook;
	filter.opts.sz = sizeof filter.opts;
	filter.hook.ifindex = IfindexArg(info, first);
	bool ingress = IngressArg(info, first + 1);
	filter.hook.attach_point = ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS;
	filter.opts.priority = U32Arg(info, first + 2, "priority");
	filter.opts.handle = U32Arg(info, first + 3, "handle");
	if (filter.opts.priority == 0 || filter.opts.priority > UINT16_MAX)
		throw ArgError("priority: expected 1 to 65535");
	if (filter.opts.handle == 0)
		throw ArgError("handle: expected 1 or more");
	filter.title = std::string("clsact ") + (ingress ? "ingress" : "egress") + " of interface " +
		       std::to_string(filter.hook.ifindex) + " priority " + std::to_string(filter.opts.priority) +
		       " handle " + std::to_string(filter.opts.handle);
	return filter;
}

Napi::Value Attach(const Napi::CallbackInfo &info)
{
	ProgramHandle &program = HandleArg<ProgramHandle>(info, 0, "program");
	Filter filter = FilterArg(info, 1);
	LibbpfLog quiet;
	int rc = bpf_tc_hook_create(&filter.hook);
	if (rc != -EEXIST)
		Check(rc, "RTM_NEWQDISC",
		      "interface " + std::to_string(filter.hook.ifindex) + ": cannot add a clsact qdisc");
	filter.opts.prog_fd = program.fd();
	filter.opts.flags = BPF_TC_F_REPLACE;
	Check(bpf_tc_attach(&filter.hook, &filter.opts), "RTM_NEWTFILTER",
	      "program " + program.name() + ": cannot attach to " + filter.title);
	return info.Env().Undefined();
}

Napi::Value Detach(const Napi::CallbackInfo &info)
{
	Filter filter = FilterArg(info, 0);
	LibbpfLog quiet;
	Check(bpf_tc_detach(&filter.hook, &filter.opts), "RTM_DELTFILTER", "cannot detach from " + filter.title);
	return info.Env().Undefined();
}

/// @returns the id of the program there, or undefined.
Napi::Value Query(const Napi::CallbackInfo &info)
{
	Filter filter = FilterArg(info, 0);
	LibbpfLog quiet;
	int rc = bpf_tc_query(&filter.hook, &filter.opts);
	if (rc == -ENOENT || rc == -EINVAL)
		return info.Env().Undefined(); // EINVAL: no clsact qdisc there
	Check(rc, "RTM_GETTFILTER", "cannot query " + filter.title);
	return Napi::Number::New(info.Env(), filter.opts.prog_id);
}

} // namespace

void ExportClsact(Napi::Object exports)
{
	Export<Attach>(exports, "clsactAttach");
	Export<Detach>(exports, "clsactDetach");
	Export<Query>(exports, "clsactQuery");
}

} // namespace fairlead
