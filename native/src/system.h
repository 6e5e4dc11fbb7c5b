#pragma once

#include <napi.h>

namespace fairlead
{

void ExportSystem(Napi::Object exports);

} // namespace fairlead
