// Pinned paths can hold maps, programs or links; asking one for another's information gives plausible nonsense.
#pragma once

#include <algorithm>
#include <climits>
#include <string>

#include "error.h"

namespace fairlead
{

/// Throws unless /proc says that the fd is `kind`: "bpf-map", "bpf-prog" or "bpf-link" ("bpf_link" in older kernels).
inline void RequireFdKind(int fd, const std::string &kind, const std::string &path)
{
	char target[PATH_MAX];
	std::string proc = "/proc/self/fd/" + std::to_string(fd);
	ssize_t size = readlink(proc.c_str(), target, sizeof target);
	if (size < 0)
		throw SysError(errno, "readlink", "cannot read " + proc);
	std::string found(target, static_cast<size_t>(size));
	std::replace(found.begin(), found.end(), '_', '-');
	if (found.find(kind) == std::string::npos) {
		throw SysError("WRONG_KIND", "BPF_OBJ_GET",
			       "cannot open pinned object " + path + ": expected " + kind + ", found " + found);
	}
}

} // namespace fairlead
