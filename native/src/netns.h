#pragma once

#include <napi.h>

#include <string>

#include "fd.h"

namespace fairlead
{

/// @param netns  path of the namespace to open it in; empty = that of the calling thread, which never changes its own
UniqueFd OpenSocketIn(const std::string &netns, int domain, int type, int protocol);

void ExportNetns(Napi::Object exports);

} // namespace fairlead
