#pragma once

#include <napi.h>

namespace fairlead
{

void ExportHooks(Napi::Object exports);

} // namespace fairlead
