// Links: attachments that live as long as an fd or a pin refers to them.
#include "link.h"

#include <bpf/bpf.h>
#include <linux/if_link.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async.h"
#include "fdkind.h"
#include "kernel_abi.h"
#include "probe.h"
#include "program.h"

namespace fairlead
{

namespace
{

constexpr std::array<std::pair<std::string_view, bpf_attach_type>, 14> kCgroupTypes{{
	{"connect4", BPF_CGROUP_INET4_CONNECT},
	{"connect6", BPF_CGROUP_INET6_CONNECT},
	{"sendmsg4", BPF_CGROUP_UDP4_SENDMSG},
	{"sendmsg6", BPF_CGROUP_UDP6_SENDMSG},
	{"recvmsg4", BPF_CGROUP_UDP4_RECVMSG},
	{"recvmsg6", BPF_CGROUP_UDP6_RECVMSG},
	{"getpeername4", BPF_CGROUP_INET4_GETPEERNAME},
	{"getpeername6", BPF_CGROUP_INET6_GETPEERNAME},
	{"post_bind4", BPF_CGROUP_INET4_POST_BIND},
	{"post_bind6", BPF_CGROUP_INET6_POST_BIND},
	{"bind4", BPF_CGROUP_INET4_BIND},
	{"bind6", BPF_CGROUP_INET6_BIND},
	{"sock_create", BPF_CGROUP_INET_SOCK_CREATE},
	{"sock_release", BPF_CGROUP_INET_SOCK_RELEASE},
}};

Napi::Value WrapLink(Napi::Env env, UniqueFd fd)
{
	return Wrap(env, std::make_unique<LinkHandle>(State::Of(env).registry(), std::move(fd)));
}

/// Plain data, so that a worker thread can attach.
struct TcxJob {
	std::shared_ptr<UniqueFd> program;
	std::string name;
	int ifindex = 0;
	bool ingress = false;
};

/// (program, ifindex, where) from `first` on
TcxJob TcxArgs(const Napi::CallbackInfo &info, size_t first = 0)
{
	ProgramHandle &program = HandleArg<ProgramHandle>(info, first, "program");
	int ifindex = IfindexArg(info, first + 1);
	bool ingress = IngressArg(info, first + 2);
	return {std::make_shared<UniqueFd>(Duplicate(program.fd())), program.name(), ifindex, ingress};
}

UniqueFd CreateTcx(const TcxJob &job)
{
	int rc = bpf_link_create(job.program->get(), job.ifindex, job.ingress ? abi::kTcxIngress : abi::kTcxEgress,
				 nullptr);
	std::string what = "program " + job.name + ": cannot attach to tcx " + (job.ingress ? "ingress" : "egress") +
			   " of interface " + std::to_string(job.ifindex);
	if (rc == -EINVAL && !KernelHasTcx())
		throw SysError(EOPNOTSUPP, "BPF_LINK_CREATE", what + ": needs kernel 6.6");
	return OwnFd(rc, "BPF_LINK_CREATE", what);
}

Napi::Value AttachTcx(const Napi::CallbackInfo &info)
{
	return WrapLink(info.Env(), CreateTcx(TcxArgs(info)));
}

std::vector<UniqueFd> CreateAllTcx(const std::vector<TcxJob> &jobs)
{
	std::vector<UniqueFd> fds;
	fds.reserve(jobs.size());
	for (const TcxJob &job : jobs)
		fds.push_back(CreateTcx(job));
	return fds;
}

/// (program, ifindex, where [, program, ifindex, where]…)
/// The kernel holds the caller for an RCU grace period each, and before that for whoever has the rtnl lock.
Napi::Value AttachTcxAsync(const Napi::CallbackInfo &info)
{
	std::vector<TcxJob> jobs;
	for (size_t first = 0; first < info.Length(); first += 3)
		jobs.push_back(TcxArgs(info, first));
	return RunAsync<std::vector<UniqueFd>>(
		info.Env(), "fairlead:attachTcx", [jobs = std::move(jobs)] { return CreateAllTcx(jobs); },
		[](Napi::Env env, std::vector<UniqueFd> &&fds) -> Napi::Value {
			Napi::Array links = Napi::Array::New(env, fds.size());
			for (uint32_t i = 0; i < fds.size(); i++)
				links.Set(i, WrapLink(env, std::move(fds[i])));
			return links;
		});
}

Napi::Value AttachXdp(const Napi::CallbackInfo &info)
{
	ProgramHandle &program = HandleArg<ProgramHandle>(info, 0, "program");
	int ifindex = IfindexArg(info, 1);
	std::string mode = StringArg(info, 2, "mode");
	if (mode != "native" && mode != "generic")
		throw ArgError("mode: expected 'native' or 'generic', got '" + mode + "'");
	LIBBPF_OPTS(bpf_link_create_opts, opts);
	opts.flags = mode == "native" ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
	UniqueFd fd = OwnFd(bpf_link_create(program.fd(), ifindex, BPF_XDP, &opts), "BPF_LINK_CREATE",
			    "program " + program.name() + ": cannot attach to " + mode + " XDP of interface " +
				    std::to_string(ifindex));
	return WrapLink(info.Env(), std::move(fd));
}

Napi::Value AttachCgroup(const Napi::CallbackInfo &info)
{
	ProgramHandle &program = HandleArg<ProgramHandle>(info, 0, "program");
	std::string path = StringArg(info, 1, "cgroupPath");
	std::string type = StringArg(info, 2, "type");
	bpf_attach_type attach_type = CgroupTypeArg(info, 2);
	UniqueFd cgroup =
		OwnFd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", "cannot open cgroup " + path);
	UniqueFd fd = OwnFd(bpf_link_create(program.fd(), cgroup.get(), attach_type, nullptr), "BPF_LINK_CREATE",
			    "program " + program.name() + ": cannot attach to " + type + " of cgroup " + path);
	return WrapLink(info.Env(), std::move(fd));
}

Napi::Value OpenPinned(const Napi::CallbackInfo &info)
{
	std::string path = StringArg(info, 0, "path");
	UniqueFd fd = OwnFd(bpf_obj_get(path.c_str()), "BPF_OBJ_GET", "cannot open pinned link " + path);
	RequireFdKind(fd.get(), "bpf-link", path);
	return WrapLink(info.Env(), std::move(fd));
}

Napi::Value OpenById(const Napi::CallbackInfo &info)
{
	uint32_t id = U32Arg(info, 0, "id");
	return WrapLink(info.Env(), OwnFd(bpf_link_get_fd_by_id(id), "BPF_LINK_GET_FD_BY_ID",
					  "cannot open link " + std::to_string(id)));
}

Napi::Value Info(const Napi::CallbackInfo &info)
{
	LinkHandle &link = HandleArg<LinkHandle>(info, 0, "link");
	abi::LinkInfo raw{};
	uint32_t size = sizeof raw;
	Check(bpf_obj_get_info_by_fd(link.fd(), &raw, &size), "BPF_OBJ_GET_INFO_BY_FD", "link: cannot read what it is");
	Napi::Object js = Napi::Object::New(info.Env());
	js.Set("id", raw.id);
	js.Set("type", raw.type);
	js.Set("programId", raw.prog_id);
	if (raw.type == abi::kLinkTypeXdp || raw.type == abi::kLinkTypeTcx || raw.type == abi::kLinkTypeNetkit) {
		js.Set("ifindex", raw.device.ifindex);
	}
	if (raw.type == abi::kLinkTypeTcx || raw.type == abi::kLinkTypeNetkit)
		js.Set("attachType", raw.device.attach_type);
	if (raw.type == abi::kLinkTypeCgroup)
		js.Set("attachType", raw.cgroup.attach_type);
	return js;
}

Napi::Value Update(const Napi::CallbackInfo &info)
{
	LinkHandle &link = HandleArg<LinkHandle>(info, 0, "link");
	ProgramHandle &program = HandleArg<ProgramHandle>(info, 1, "program");
	Check(bpf_link_update(link.fd(), program.fd(), nullptr), "BPF_LINK_UPDATE",
	      "link: cannot replace its program by " + program.name());
	return info.Env().Undefined();
}

Napi::Value Pin(const Napi::CallbackInfo &info)
{
	LinkHandle &link = HandleArg<LinkHandle>(info, 0, "link");
	std::string path = StringArg(info, 1, "path");
	Check(bpf_obj_pin(link.fd(), path.c_str()), "BPF_OBJ_PIN", "link: cannot pin at " + path);
	return info.Env().Undefined();
}

Napi::Value Detach(const Napi::CallbackInfo &info)
{
	Check(bpf_link_detach(HandleArg<LinkHandle>(info, 0, "link").fd()), "BPF_LINK_DETACH", "link: cannot detach");
	return info.Env().Undefined();
}

Napi::Value CloseLink(const Napi::CallbackInfo &info)
{
	HandleArg<LinkHandle>(info, 0, "link").Close();
	return info.Env().Undefined();
}

} // namespace

int LinkHandle::fd() const
{
	if (!fd_)
		throw SysError(EBADF, "close", "link: is closed");
	return fd_.get();
}

bpf_attach_type CgroupTypeArg(const Napi::CallbackInfo &info, size_t index)
{
	std::string name = StringArg(info, index, "type");
	for (const auto &[known, type] : kCgroupTypes) {
		if (known == name)
			return type;
	}
	throw ArgError("type: unknown cgroup attach type '" + name + "'");
}

bool IngressArg(const Napi::CallbackInfo &info, size_t index)
{
	std::string where = StringArg(info, index, "where");
	if (where != "ingress" && where != "egress")
		throw ArgError("where: expected 'ingress' or 'egress', got '" + where + "'");
	return where == "ingress";
}

void ExportLink(Napi::Object exports)
{
	Export<AttachTcx>(exports, "linkAttachTcx");
	Export<AttachTcxAsync>(exports, "linkAttachTcxAsync");
	Export<AttachXdp>(exports, "linkAttachXdp");
	Export<AttachCgroup>(exports, "linkAttachCgroup");
	Export<OpenPinned>(exports, "linkOpenPinned");
	Export<OpenById>(exports, "linkOpenById");
	Export<Info>(exports, "linkInfo");
	Export<Update>(exports, "linkUpdate");
	Export<Pin>(exports, "linkPin");
	Export<Detach>(exports, "linkDetach");
	Export<CloseLink>(exports, "linkClose");
}

} // namespace fairlead
