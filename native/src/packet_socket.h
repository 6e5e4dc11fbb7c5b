#pragma once

#include <napi.h>

namespace fairlead
{

void ExportPacketSocket(Napi::Object exports);

} // namespace fairlead
