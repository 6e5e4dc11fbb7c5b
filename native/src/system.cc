// Small system calls that Node.js lacks, or makes one trip to a thread each for.
#include "system.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/membarrier.h>
#include <malloc.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <utility>

#include "args.h"
#include "async.h"
#include "libbpf_log.h"

namespace fairlead
{

namespace
{

Napi::Value PeerCredentials(const Napi::CallbackInfo &info)
{
	uint32_t fd = U32Arg(info, 0, "fd");
	ucred peer{};
	socklen_t size = sizeof peer;
	if (getsockopt(static_cast<int>(fd), SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
		throw SysError(errno, "getsockopt",
			       "file descriptor " + std::to_string(fd) + ": cannot read who is at the other end");
	}
	Napi::Object js = Napi::Object::New(info.Env());
	js.Set("pid", peer.pid);
	js.Set("uid", peer.uid);
	js.Set("gid", peer.gid);
	return js;
}

Napi::Value IfindexOf(const Napi::CallbackInfo &info)
{
	std::string name = StringArg(info, 0, "name");
	unsigned index = if_nametoindex(name.c_str());
	if (index == 0)
		throw SysError(errno, "if_nametoindex", "cannot find interface " + name);
	return Napi::Number::New(info.Env(), index);
}

struct NewFile {
	std::string temporary;
	std::string path;
	std::string content;
};

/// The whole file or nothing comes to be at `path`.
UniqueFd WriteAside(const NewFile &file)
{
	UniqueFd fd = OwnFd(open(file.temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), "open",
			    "cannot make file " + file.temporary);
	try {
		for (size_t done = 0; done < file.content.size();) {
			ssize_t written = write(fd.get(), &file.content[done], file.content.size() - done);
			if (written < 0 && errno != EINTR)
				throw SysError(errno, "write", "cannot write file " + file.temporary);
			done += written > 0 ? static_cast<size_t>(written) : 0;
		}
		if (rename(file.temporary.c_str(), file.path.c_str()) < 0)
			throw SysError(errno, "rename", "cannot move file " + file.temporary + " to " + file.path);
	} catch (...) {
		unlink(file.temporary.c_str());
		throw;
	}
	return fd;
}

/// (temporary, path, content)
Napi::Value WriteAsideAsync(const Napi::CallbackInfo &info)
{
	NewFile file{StringArg(info, 0, "temporary"), StringArg(info, 1, "path"), StringArg(info, 2, "content")};
	return RunAsync<UniqueFd>(
		info.Env(), "fairlead:writeAside", [file = std::move(file)] { return WriteAside(file); },
		[](Napi::Env env, UniqueFd &&fd) -> Napi::Value { return Napi::Number::New(env, fd.Release()); });
}

/// Returns after every CPU has passed a point where it held no BPF program or RCU reader that ran before the call.
void Barrier()
{
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) < 0)
		throw SysError(errno, "membarrier", "cannot wait for a grace period");
}

Napi::Value Membarrier(const Napi::CallbackInfo &info)
{
	Barrier();
	return info.Env().Undefined();
}

Napi::Value MembarrierAsync(const Napi::CallbackInfo &info)
{
	return RunAsync<bool>(
		info.Env(), "fairlead:membarrier",
		[] {
			Barrier();
			return true;
		},
		[](Napi::Env env, bool &&) -> Napi::Value { return env.Undefined(); });
}

Napi::Value BtfOfId(const Napi::CallbackInfo &info)
{
	uint32_t id = U32Arg(info, 0, "id");
	std::string what = "cannot read BTF " + std::to_string(id);
	UniqueFd fd = OwnFd(bpf_btf_get_fd_by_id(id), "BPF_BTF_GET_FD_BY_ID", what);
	bpf_btf_info raw{};
	uint32_t size = sizeof raw;
	Check(bpf_obj_get_info_by_fd(fd.get(), &raw, &size), "BPF_OBJ_GET_INFO_BY_FD", what);
	Bytes bytes(raw.btf_size);
	raw = {};
	raw.btf = reinterpret_cast<uintptr_t>(bytes.data());
	raw.btf_size = static_cast<uint32_t>(bytes.size());
	Check(bpf_obj_get_info_by_fd(fd.get(), &raw, &size), "BPF_OBJ_GET_INFO_BY_FD", what);
	return BytesToJs(info.Env(), std::move(bytes));
}

template <int (*NextId)(uint32_t, uint32_t *)> Napi::Value Ids(const Napi::CallbackInfo &info)
{
	Napi::Array ids = Napi::Array::New(info.Env());
	uint32_t id = 0;
	for (;;) {
		int rc = NextId(id, &id);
		if (rc == -ENOENT)
			return ids;
		Check(rc, "BPF_GET_NEXT_ID", "cannot list ids");
		ids.Set(ids.Length(), id);
	}
}

/// @returns 'none' | 'native' | 'generic' | 'offload': how an XDP program is attached to the interface now.
Napi::Value XdpMode(const Napi::CallbackInfo &info)
{
	int ifindex = IfindexArg(info, 0);
	LibbpfLog quiet;
	LIBBPF_OPTS(bpf_xdp_query_opts, opts);
	Check(bpf_xdp_query(ifindex, 0, &opts), "RTM_GETLINK",
	      "cannot ask for the XDP mode of interface " + std::to_string(ifindex));
	const char *mode = "none";
	if (opts.hw_prog_id != 0)
		mode = "offload";
	if (opts.skb_prog_id != 0)
		mode = "generic";
	if (opts.drv_prog_id != 0)
		mode = "native";
	return Napi::String::New(info.Env(), mode);
}

Napi::Value PossibleCpus(const Napi::CallbackInfo &info)
{
	int cpus = libbpf_num_possible_cpus();
	Check(cpus, "libbpf_num_possible_cpus", "cannot count possible CPUs");
	return Napi::Number::New(info.Env(), cpus);
}

/// Gives pages that malloc keeps for later back to the kernel.
Napi::Value TrimMemory(const Napi::CallbackInfo &info)
{
	malloc_trim(0);
	return info.Env().Undefined();
}

} // namespace

void ExportSystem(Napi::Object exports)
{
	Export<PeerCredentials>(exports, "peerCredentials");
	Export<WriteAsideAsync>(exports, "writeAside");
	Export<IfindexOf>(exports, "ifindexOf");
	Export<Membarrier>(exports, "membarrier");
	Export<MembarrierAsync>(exports, "membarrierAsync");
	Export<BtfOfId>(exports, "btfOfId");
	Export<Ids<bpf_map_get_next_id>>(exports, "mapIds");
	Export<Ids<bpf_prog_get_next_id>>(exports, "programIds");
	Export<Ids<bpf_link_get_next_id>>(exports, "linkIds");
	Export<XdpMode>(exports, "xdpMode");
	Export<PossibleCpus>(exports, "possibleCpus");
	Export<TrimMemory>(exports, "trimMemory");
}

} // namespace fairlead
