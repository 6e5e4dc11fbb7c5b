#pragma once

#include <napi.h>

namespace fairlead
{

/// Whether BPF_LINK_CREATE knows tcx (6.6).
bool KernelHasTcx();

void ExportProbe(Napi::Object exports);

} // namespace fairlead
