// Reads the fields of a JavaScript object that describes work on maps, and says which one is wrong.
#pragma once

#include <napi.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "args.h"
#include "map.h"

namespace fairlead
{

/// A map that a worker thread may use whatever becomes of the handle.
struct SharedMap {
	std::shared_ptr<UniqueFd> fd;
	MapShape shape;

	static SharedMap Of(const MapHandle &map);
};

class Fields
{
public:
	/// @param name how messages call the object
	Fields(const Napi::Value &value, std::string name);

	uint32_t U32(const char *key) const;
	/// An offset at which `size` bytes fit into `limit`.
	uint32_t Offset(const char *key, size_t size, size_t limit) const;
	/// A Uint32Array of whole groups.
	std::vector<uint32_t> Words(const char *key, size_t group) const;
	/// A Uint8Array of whole groups.
	Bytes Raw(const char *key, size_t group) const;
	/// A list of at least one map, all of one layout.
	std::vector<SharedMap> Maps(const char *key) const;
	Napi::Value Get(const char *key) const { return object_.Get(key); }
	bool Has(const char *key) const { return object_.Get(key).IsObject(); }
	std::string Title(const char *key) const { return name_ + "." + key; }

private:
	std::string name_;
	Napi::Object object_;
};

/// A number that may lie anywhere.
template <typename T> T Load(const uint8_t *from)
{
	T value;
	memcpy(&value, from, sizeof value);
	return value;
}

} // namespace fairlead
