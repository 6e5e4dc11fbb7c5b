#pragma once

#include <napi.h>

namespace fairlead
{

void ExportRingBuffer(Napi::Object exports);

} // namespace fairlead
