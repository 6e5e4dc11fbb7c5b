#pragma once

#include <napi.h>

namespace fairlead
{

void ExportClsact(Napi::Object exports);

} // namespace fairlead
