#include "fields.h"

#include <utility>

namespace fairlead
{

SharedMap SharedMap::Of(const MapHandle &map)
{
	return {std::make_shared<UniqueFd>(Duplicate(map.fd())), map.shape()};
}

Fields::Fields(const Napi::Value &value, std::string name) : name_(std::move(name))
{
	if (!value.IsObject())
		throw ArgError(name_ + ": expected an object");
	object_ = value.As<Napi::Object>();
}

uint32_t Fields::U32(const char *key) const
{
	Napi::Value value = object_.Get(key);
	double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
	if (!(number >= 0 && number <= 0xffffffffU) || number != static_cast<double>(static_cast<uint32_t>(number)))
		throw ArgError(Title(key) + ": expected a whole number of 32 bits");
	return static_cast<uint32_t>(number);
}

uint32_t Fields::Offset(const char *key, size_t size, size_t limit) const
{
	uint32_t offset = U32(key);
	if (offset + size > limit) {
		throw ArgError(Title(key) + ": " + std::to_string(size) + " bytes at " + std::to_string(offset) +
			       " are beyond " + std::to_string(limit));
	}
	return offset;
}

std::vector<uint32_t> Fields::Words(const char *key, size_t group) const
{
	Napi::Value value = object_.Get(key);
	if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array)
		throw ArgError(Title(key) + ": expected a Uint32Array");
	auto words = value.As<Napi::Uint32Array>();
	if (words.ElementLength() % group != 0)
		throw ArgError(Title(key) + ": expected groups of " + std::to_string(group) + " numbers");
	return {words.Data(), words.Data() + words.ElementLength()};
}

Bytes Fields::Raw(const char *key, size_t group) const
{
	Napi::Value value = object_.Get(key);
	if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
		throw ArgError(Title(key) + ": expected a Uint8Array");
	auto bytes = value.As<Napi::Uint8Array>();
	if (group == 0 || bytes.ElementLength() % group != 0)
		throw ArgError(Title(key) + ": expected a multiple of " + std::to_string(group) + " bytes");
	return {bytes.Data(), bytes.Data() + bytes.ElementLength()};
}

std::vector<SharedMap> Fields::Maps(const char *key) const
{
	Napi::Value value = object_.Get(key);
	if (!value.IsArray() || value.As<Napi::Array>().Length() == 0)
		throw ArgError(Title(key) + ": expected a list of maps");
	auto list = value.As<Napi::Array>();
	std::vector<SharedMap> maps;
	for (uint32_t i = 0; i < list.Length(); i++) {
		Napi::Value each = list.Get(i);
		MapHandle *map = nullptr;
		if (each.IsExternal())
			map = dynamic_cast<MapHandle *>(each.As<Napi::External<Handle>>().Data());
		if (map == nullptr)
			throw ArgError(Title(key) + ": expected native maps");
		maps.push_back(SharedMap::Of(*map));
	}
	const MapShape &shape = maps.front().shape;
	for (const SharedMap &map : maps) {
		if (map.shape.key_size != shape.key_size || map.shape.value_bytes != shape.value_bytes)
			throw ArgError(Title(key) + ": expected maps of one layout");
	}
	return maps;
}

} // namespace fairlead
