// Reading JavaScript arguments. Each is checked by type, range and length before libbpf or the kernel sees it.
#pragma once

#include <napi.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "error.h"
#include "state.h"

namespace fairlead
{

using Bytes = std::vector<uint8_t>;

uint32_t U32Arg(const Napi::CallbackInfo &info, size_t index, const char *name);
uint64_t FlagsArg(const Napi::CallbackInfo &info, size_t index, const char *name);
bool BoolArg(const Napi::CallbackInfo &info, size_t index, const char *name);
/// No NUL inside: the kernel would silently cut there.
std::string StringArg(const Napi::CallbackInfo &info, size_t index, const char *name);
std::string OptionalStringArg(const Napi::CallbackInfo &info, size_t index, const char *name);
/// Borrowed: valid until the call returns.
std::span<uint8_t> BytesArg(const Napi::CallbackInfo &info, size_t index, const char *name);
std::span<uint8_t> BytesArg(const Napi::CallbackInfo &info, size_t index, const char *name, size_t expected);

/// An interface index: 1 … 2^31-1.
int IfindexArg(const Napi::CallbackInfo &info, size_t index);

template <typename T> T &HandleArg(const Napi::CallbackInfo &info, size_t index, const char *name)
{
	T *typed = nullptr;
	if (info[index].IsExternal())
		typed = dynamic_cast<T *>(info[index].As<Napi::External<Handle>>().Data());
	if (typed == nullptr)
		throw ArgError(std::string(name) + ": expected a native handle");
	return *typed;
}

/// @returns a Uint8Array over its own buffer, filled with a copy.
Napi::Value BytesToJs(Napi::Env env, std::span<const uint8_t> bytes);
/// @returns a Uint8Array that owns the vector; nothing is copied.
Napi::Value BytesToJs(Napi::Env env, Bytes &&bytes);

/// Registers a function whose C++ exceptions become JavaScript errors.
template <Napi::Value (*F)(const Napi::CallbackInfo &)> Napi::Value Guard(const Napi::CallbackInfo &info)
{
	try {
		return F(info);
	} catch (...) {
		throw Napi::Error(info.Env(), CurrentExceptionToJs(info.Env()));
	}
}

template <Napi::Value (*F)(const Napi::CallbackInfo &)> void Export(Napi::Object exports, const char *name)
{
	exports.Set(name, Napi::Function::New<Guard<F>>(exports.Env(), name));
}

} // namespace fairlead
