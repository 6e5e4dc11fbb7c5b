#pragma once

#include <napi.h>

namespace fairlead
{

void ExportNetns(Napi::Object exports);

} // namespace fairlead
