// A loaded BPF program.
#pragma once

#include <memory>
#include <string>

#include "args.h"
#include "fd.h"
#include "state.h"

namespace fairlead
{

class ProgramHandle final : public Handle
{
public:
	/// @param name the full name of the C function, or "" for the kernel's, which is cut at 15 bytes
	ProgramHandle(std::shared_ptr<Registry> registry, UniqueFd fd, const std::string &name);
	~ProgramHandle() override { Close(); }

	void Close() noexcept override { fd_.Reset(); }
	/// Throws EBADF after close.
	int fd() const;
	uint32_t id() const { return id_; }
	uint32_t type() const { return type_; }
	const std::string &name() const { return name_; }
	const std::string &tag() const { return tag_; }

private:
	UniqueFd fd_;
	uint32_t id_ = 0;
	uint32_t type_ = 0;
	std::string name_;
	std::string tag_;
};

void ExportProgram(Napi::Object exports);

} // namespace fairlead
