#pragma once

#include <napi.h>

namespace fairlead
{

void ExportNetlinkListener(Napi::Object exports);

} // namespace fairlead
