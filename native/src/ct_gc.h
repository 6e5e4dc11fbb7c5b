// Walks over large flow tables that judge and delete entries where they are read: on a worker thread, some thousand entries
// at a time. What the bytes mean comes in as offsets and rules.
#pragma once

#include <napi.h>

namespace fairlead
{

void ExportCtGc(Napi::Object exports);

} // namespace fairlead
