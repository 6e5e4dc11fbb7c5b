#include "args.h"

#include <cmath>
#include <memory>
#include <tuple>

namespace fairlead
{

namespace
{

double IntegerArg(const Napi::CallbackInfo &info, size_t index, const char *name, double max)
{
	if (!info[index].IsNumber())
		throw ArgError(std::string(name) + ": expected a number");
	double value = info[index].As<Napi::Number>().DoubleValue();
	if (!(value >= 0 && value <= max) || std::trunc(value) != value) {
		throw ArgError(std::string(name) + ": expected an integer from 0 to " +
			       std::to_string(static_cast<uint64_t>(max)) + ", got " +
			       info[index].ToString().Utf8Value());
	}
	return value;
}

} // namespace

uint32_t U32Arg(const Napi::CallbackInfo &info, size_t index, const char *name)
{
	return static_cast<uint32_t>(IntegerArg(info, index, name, UINT32_MAX));
}

uint64_t FlagsArg(const Napi::CallbackInfo &info, size_t index, const char *name)
{
	if (info[index].IsUndefined())
		return 0;
	return static_cast<uint64_t>(IntegerArg(info, index, name, 9007199254740991.0));
}

bool BoolArg(const Napi::CallbackInfo &info, size_t index, const char *name)
{
	if (!info[index].IsBoolean())
		throw ArgError(std::string(name) + ": expected a boolean");
	return info[index].As<Napi::Boolean>().Value();
}

std::string StringArg(const Napi::CallbackInfo &info, size_t index, const char *name)
{
	if (!info[index].IsString())
		throw ArgError(std::string(name) + ": expected a string");
	std::string value = info[index].As<Napi::String>().Utf8Value();
	if (value.empty())
		throw ArgError(std::string(name) + ": expected a string that is not empty");
	if (value.find('\0') != std::string::npos)
		throw ArgError(std::string(name) + ": contains a NUL character");
	return value;
}

std::string OptionalStringArg(const Napi::CallbackInfo &info, size_t index, const char *name)
{
	return info[index].IsUndefined() ? std::string() : StringArg(info, index, name);
}

std::span<uint8_t> BytesArg(const Napi::CallbackInfo &info, size_t index, const char *name)
{
	if (!info[index].IsTypedArray() || info[index].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
		throw ArgError(std::string(name) + ": expected a Uint8Array");
	}
	Napi::Uint8Array array = info[index].As<Napi::Uint8Array>();
	return {array.Data(), array.ByteLength()};
}

std::span<uint8_t> BytesArg(const Napi::CallbackInfo &info, size_t index, const char *name, size_t expected)
{
	std::span<uint8_t> bytes = BytesArg(info, index, name);
	if (bytes.size() != expected) {
		throw ArgError(std::string(name) + ": expected " + std::to_string(expected) + " bytes, got " +
			       std::to_string(bytes.size()));
	}
	return bytes;
}

int IfindexArg(const Napi::CallbackInfo &info, size_t index)
{
	double value = IntegerArg(info, index, "ifindex", INT32_MAX);
	if (value < 1)
		throw ArgError("ifindex: expected an interface index, got 0");
	return static_cast<int>(value);
}

Napi::Value BytesToJs(Napi::Env env, std::span<const uint8_t> bytes)
{
	Napi::Uint8Array array = Napi::Uint8Array::New(env, bytes.size());
	std::copy(bytes.begin(), bytes.end(), array.Data());
	return array;
}

Napi::Value BytesToJs(Napi::Env env, Bytes &&bytes)
{
	if (bytes.empty())
		return Napi::Uint8Array::New(env, 0);
	auto owner = std::make_unique<Bytes>(std::move(bytes));
	size_t size = owner->size();
	Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(
		env, owner->data(), size, [](Napi::Env, void *, Bytes *data) { std::unique_ptr<Bytes> last(data); },
		owner.get());
	std::ignore = owner.release();
	return Napi::Uint8Array::New(env, size, buffer, 0);
}

} // namespace fairlead
