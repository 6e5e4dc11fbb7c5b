#pragma once

#include <linux/bpf.h>

#include <memory>

#include "args.h"
#include "fd.h"
#include "state.h"

namespace fairlead
{

class LinkHandle final : public Handle
{
public:
	LinkHandle(std::shared_ptr<Registry> registry, UniqueFd fd) : Handle(std::move(registry)), fd_(std::move(fd)) {}
	~LinkHandle() override { Close(); }

	void Close() noexcept override { fd_.Reset(); }
	/// Throws EBADF after close.
	int fd() const;

private:
	UniqueFd fd_;
};

/// Reads the name of a cgroup hook, such as 'connect4'.
bpf_attach_type CgroupTypeArg(const Napi::CallbackInfo &info, size_t index);

/// Reads 'ingress' | 'egress'.
bool IngressArg(const Napi::CallbackInfo &info, size_t index);

void ExportLink(Napi::Object exports);

} // namespace fairlead
