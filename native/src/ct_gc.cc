#include "ct_gc.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "args.h"
#include "async.h"
#include "map.h"

namespace fairlead
{

namespace
{

constexpr uint32_t kAnyProto = 256;

/// A map that a worker thread may use whatever becomes of the handle.
struct SharedMap {
	std::shared_ptr<UniqueFd> fd;
	MapShape shape;

	static SharedMap Of(MapHandle &map) { return {std::make_shared<UniqueFd>(Duplicate(map.fd())), map.shape()}; }
};

template <typename T> T Load(const uint8_t *from)
{
	T value;
	memcpy(&value, from, sizeof value);
	return value;
}

/// Reads the fields of a JavaScript object and says which one is wrong.
class Fields
{
public:
	Fields(const Napi::Value &value, std::string name) : name_(std::move(name))
	{
		if (!value.IsObject())
			throw ArgError(name_ + ": expected an object");
		object_ = value.As<Napi::Object>();
	}

	uint32_t U32(const char *key) const
	{
		Napi::Value value = object_.Get(key);
		double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
		if (!(number >= 0 && number <= 0xffffffffU) ||
		    number != static_cast<double>(static_cast<uint32_t>(number)))
			throw ArgError(Title(key) + ": expected a whole number of 32 bits");
		return static_cast<uint32_t>(number);
	}

	/// An offset at which `size` bytes fit into `limit`.
	uint32_t Offset(const char *key, size_t size, size_t limit) const
	{
		uint32_t offset = U32(key);
		if (offset + size > limit) {
			throw ArgError(Title(key) + ": " + std::to_string(size) + " bytes at " +
				       std::to_string(offset) + " are beyond " + std::to_string(limit));
		}
		return offset;
	}

	std::vector<uint32_t> Words(const char *key, size_t group) const
	{
		Napi::Value value = object_.Get(key);
		if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array)
			throw ArgError(Title(key) + ": expected a Uint32Array");
		Napi::Uint32Array words = value.As<Napi::Uint32Array>();
		if (words.ElementLength() % group != 0)
			throw ArgError(Title(key) + ": expected groups of " + std::to_string(group) + " numbers");
		return {words.Data(), words.Data() + words.ElementLength()};
	}

	Bytes Raw(const char *key, size_t group) const
	{
		Napi::Value value = object_.Get(key);
		if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
			throw ArgError(Title(key) + ": expected a Uint8Array");
		Napi::Uint8Array bytes = value.As<Napi::Uint8Array>();
		if (group == 0 || bytes.ElementLength() % group != 0)
			throw ArgError(Title(key) + ": expected a multiple of " + std::to_string(group) + " bytes");
		return {bytes.Data(), bytes.Data() + bytes.ElementLength()};
	}

	Napi::Value Get(const char *key) const { return object_.Get(key); }
	std::string Title(const char *key) const { return name_ + "." + key; }

private:
	std::string name_;
	Napi::Object object_;
};

MapHandle &MapOf(const Napi::Value &value, const std::string &name)
{
	MapHandle *typed = nullptr;
	if (value.IsExternal())
		typed = dynamic_cast<MapHandle *>(value.As<Napi::External<Handle>>().Data());
	if (typed == nullptr)
		throw ArgError(name + ": expected a native map");
	return *typed;
}

/// Entries of a protocol whose flags under the mask have this value.
struct Pattern {
	uint32_t proto;
	uint32_t mask;
	uint32_t value;

	bool Matches(uint32_t entry_proto, uint32_t flags) const
	{
		return (proto == kAnyProto || proto == entry_proto) && (flags & mask) == value;
	}
};

struct IdleRule {
	Pattern pattern;
	int32_t limit;
};

struct Layout {
	uint32_t proto;
	uint32_t flags;
	uint32_t last_seen;

	static Layout Read(const Fields &fields, const MapShape &shape)
	{
		return {fields.Offset("proto", 1, shape.key_size), fields.Offset("flags", 2, shape.value_bytes),
			fields.Offset("lastSeen", 4, shape.value_bytes)};
	}
};

/// Jiffies since then; an entry touched after `now` was read counts as just now.
int32_t Idle(uint32_t now, uint32_t then)
{
	return std::max(0, static_cast<int32_t>(now - then));
}

struct SweepJob {
	SharedMap map;
	Layout layout;
	uint32_t now = 0;
	std::vector<IdleRule> rules{};
	std::vector<Pattern> counters{};
	std::vector<uint32_t> address_offsets{};
	size_t address_size = 0;
	std::set<std::string, std::less<>> addresses{};

	bool IsDead(const uint8_t *key, const uint8_t *value) const
	{
		for (uint32_t offset : address_offsets) {
			std::string_view part(reinterpret_cast<const char *>(key) + offset, address_size);
			if (addresses.contains(part))
				return true;
		}
		auto flags = Load<uint16_t>(value + layout.flags);
		for (const IdleRule &rule : rules) {
			if (rule.pattern.Matches(key[layout.proto], flags))
				return Idle(now, Load<uint32_t>(value + layout.last_seen)) > rule.limit;
		}
		return false;
	}
};

struct SweepResult {
	size_t entries = 0;
	size_t deleted = 0;
	std::vector<double> counts;
};

SweepResult Sweep(const SweepJob &job)
{
	const MapShape &shape = job.map.shape;
	SweepResult result;
	result.counts.assign(job.counters.size(), 0);
	Bytes dead;
	WalkMap(job.map.fd->get(), shape, [&](const uint8_t *keys, const uint8_t *values, size_t count) {
		dead.clear();
		for (size_t i = 0; i < count; i++) {
			const uint8_t *key = keys + i * shape.key_size;
			const uint8_t *value = values + i * shape.value_bytes;
			if (job.IsDead(key, value)) {
				dead.insert(dead.end(), key, key + shape.key_size);
				continue;
			}
			result.entries++;
			auto flags = Load<uint16_t>(value + job.layout.flags);
			for (size_t n = 0; n < job.counters.size(); n++)
				result.counts[n] += job.counters[n].Matches(key[job.layout.proto], flags) ? 1 : 0;
		}
		result.deleted += DeleteMapBatch(job.map.fd->get(), shape, dead);
	});
	return result;
}

Napi::Value SweepToJs(Napi::Env env, SweepResult &&result)
{
	Napi::Object js = Napi::Object::New(env);
	js.Set("entries", Napi::Number::New(env, static_cast<double>(result.entries)));
	js.Set("deleted", Napi::Number::New(env, static_cast<double>(result.deleted)));
	Napi::Array counts = Napi::Array::New(env, result.counts.size());
	for (uint32_t i = 0; i < result.counts.size(); i++)
		counts.Set(i, result.counts[i]);
	js.Set("counts", counts);
	return js;
}

Napi::Value SweepMap(const Napi::CallbackInfo &info)
{
	MapHandle &map = HandleArg<MapHandle>(info, 0, "map");
	Fields fields(info[1], "sweep");
	SweepJob job{.map = SharedMap::Of(map), .layout = Layout::Read(fields, map.shape())};
	job.now = fields.U32("now");
	std::vector<uint32_t> rules = fields.Words("rules", 4);
	for (size_t i = 0; i < rules.size(); i += 4) {
		job.rules.push_back({{rules[i], rules[i + 1], rules[i + 2]},
				     static_cast<int32_t>(std::min<uint32_t>(rules[i + 3], INT32_MAX))});
	}
	std::vector<uint32_t> counters = fields.Words("counters", 3);
	for (size_t i = 0; i < counters.size(); i += 3)
		job.counters.push_back({counters[i], counters[i + 1], counters[i + 2]});
	job.address_size = fields.U32("addressSize");
	job.address_offsets = fields.Words("addressOffsets", 1);
	for (uint32_t offset : job.address_offsets) {
		if (offset + job.address_size > map.shape().key_size)
			throw ArgError("sweep.addressOffsets: an address would end beyond the key");
	}
	if (!job.address_offsets.empty()) {
		Bytes all = fields.Raw("addresses", job.address_size);
		for (size_t at = 0; at < all.size(); at += job.address_size)
			job.addresses.emplace(reinterpret_cast<const char *>(&all[at]), job.address_size);
	}
	return RunAsync<SweepResult>(
		info.Env(), "fairlead:sweep", [job = std::move(job)] { return Sweep(job); }, SweepToJs);
}

/// Where the parts of a key {address, address, port, port, proto} are.
struct TupleLayout {
	uint32_t lo, hi, lo_port, hi_port, proto;

	static TupleLayout Read(const Fields &fields, size_t address_size, size_t key_size)
	{
		return {fields.Offset("lo", address_size, key_size), fields.Offset("hi", address_size, key_size),
			fields.Offset("loPort", 2, key_size), fields.Offset("hiPort", 2, key_size),
			fields.Offset("proto", 1, key_size)};
	}
};

constexpr size_t kAddress = 16;
using Address = std::array<uint8_t, kAddress>;

Address AddressAt(const uint8_t *from)
{
	Address address;
	memcpy(address.data(), from, kAddress);
	return address;
}

/// One end of a flow; the port as it is in memory.
struct End {
	Address address;
	uint16_t port;
};

/// The tables in which flows of one family are, all with the same layout.
struct FlowTable {
	std::vector<SharedMap> maps;
	Bytes prefix; // of the 16-byte addresses that belong here; the key holds what follows it
	TupleLayout key;
	uint32_t flags;
	uint32_t mask;

	bool Owns(const Address &address) const { return memcmp(address.data(), prefix.data(), prefix.size()) == 0; }

	Bytes Key(const End &lo, const End &hi, uint8_t proto) const
	{
		Bytes bytes(maps.front().shape.key_size);
		memcpy(&bytes[key.lo], &lo.address[prefix.size()], kAddress - prefix.size());
		memcpy(&bytes[key.hi], &hi.address[prefix.size()], kAddress - prefix.size());
		memcpy(&bytes[key.lo_port], &lo.port, sizeof lo.port);
		memcpy(&bytes[key.hi_port], &hi.port, sizeof hi.port);
		bytes[key.proto] = proto;
		return bytes;
	}

	/// Whether the flow is there with one of the flags. Which end comes first in a key is the programs' affair: both orders are
	/// tried.
	bool Has(const End &a, const End &b, uint8_t proto) const
	{
		for (const Bytes &wanted : {Key(a, b, proto), Key(b, a, proto)}) {
			for (const SharedMap &map : maps) {
				Bytes value(map.shape.value_bytes);
				int rc = bpf_map_lookup_elem(map.fd->get(), wanted.data(), value.data());
				if (rc == 0 && (Load<uint16_t>(&value[flags]) & mask) != 0)
					return true;
				if (rc < 0 && rc != -ENOENT)
					Check(rc, "BPF_MAP_LOOKUP_ELEM", map.shape.Title() + ": cannot look up a flow");
			}
		}
		return false;
	}
};

struct OrphanJob {
	SharedMap map;
	TupleLayout key;
	uint32_t inner_address, inner_port, last_seen;
	uint32_t now = 0;
	int32_t grace = 0;
	std::set<Address> own{};
	Bytes echo_protos{};
	std::vector<FlowTable> tables{};

	bool IsOrphan(const uint8_t *natkey, const uint8_t *value) const
	{
		if (Idle(now, Load<uint32_t>(value + last_seen)) <= grace)
			return false;
		End inner{AddressAt(value + inner_address), Load<uint16_t>(value + inner_port)};
		bool lo_is_own = own.contains(AddressAt(natkey + key.lo));
		End remote{AddressAt(natkey + (lo_is_own ? key.hi : key.lo)),
			   Load<uint16_t>(natkey + (lo_is_own ? key.hi_port : key.lo_port))};
		uint8_t proto = natkey[key.proto];
		// Both ports of an echo are its identifier.
		if (std::find(echo_protos.begin(), echo_protos.end(), proto) != echo_protos.end())
			remote.port = inner.port;
		for (const FlowTable &table : tables) {
			if (table.Owns(inner.address))
				return !table.Has(inner, remote, proto);
		}
		return true;
	}
};

SweepResult SweepOrphans(const OrphanJob &job)
{
	const MapShape &shape = job.map.shape;
	SweepResult result;
	Bytes dead;
	WalkMap(job.map.fd->get(), shape, [&](const uint8_t *keys, const uint8_t *values, size_t count) {
		dead.clear();
		for (size_t i = 0; i < count; i++) {
			const uint8_t *key = keys + i * shape.key_size;
			if (job.IsOrphan(key, values + i * shape.value_bytes))
				dead.insert(dead.end(), key, key + shape.key_size);
			else
				result.entries++;
		}
		result.deleted += DeleteMapBatch(job.map.fd->get(), shape, dead);
	});
	return result;
}

FlowTable FlowTableArg(const Napi::Value &value, const std::string &name)
{
	Fields fields(value, name);
	Napi::Value maps = fields.Get("maps");
	if (!maps.IsArray() || maps.As<Napi::Array>().Length() == 0)
		throw ArgError(fields.Title("maps") + ": expected a list of maps");
	FlowTable table{};
	for (uint32_t i = 0; i < maps.As<Napi::Array>().Length(); i++)
		table.maps.push_back(SharedMap::Of(MapOf(maps.As<Napi::Array>().Get(i), fields.Title("maps"))));
	table.prefix = fields.Raw("prefix", 1);
	if (table.prefix.size() >= kAddress)
		throw ArgError(fields.Title("prefix") + ": expected fewer bytes than an address has");
	const MapShape &shape = table.maps.front().shape;
	table.key = TupleLayout::Read(fields, kAddress - table.prefix.size(), shape.key_size);
	table.flags = fields.Offset("flags", 2, shape.value_bytes);
	table.mask = fields.U32("mask");
	for (const SharedMap &map : table.maps) {
		if (map.shape.key_size != shape.key_size || map.shape.value_bytes != shape.value_bytes)
			throw ArgError(fields.Title("maps") + ": expected maps of one layout");
	}
	return table;
}

Napi::Value SweepOrphanedMap(const Napi::CallbackInfo &info)
{
	MapHandle &map = HandleArg<MapHandle>(info, 0, "map");
	const MapShape &shape = map.shape();
	Fields fields(info[1], "orphans");
	OrphanJob job{.map = SharedMap::Of(map),
		      .key = TupleLayout::Read(fields, kAddress, shape.key_size),
		      .inner_address = fields.Offset("innerAddress", kAddress, shape.value_bytes),
		      .inner_port = fields.Offset("innerPort", 2, shape.value_bytes),
		      .last_seen = fields.Offset("lastSeen", 4, shape.value_bytes)};
	job.now = fields.U32("now");
	job.grace = static_cast<int32_t>(std::min<uint32_t>(fields.U32("grace"), INT32_MAX));
	job.echo_protos = fields.Raw("echoProtos", 1);
	Bytes own = fields.Raw("own", kAddress);
	for (size_t at = 0; at < own.size(); at += kAddress)
		job.own.insert(AddressAt(&own[at]));
	Napi::Value tables = fields.Get("tables");
	if (!tables.IsArray())
		throw ArgError("orphans.tables: expected a list");
	for (uint32_t i = 0; i < tables.As<Napi::Array>().Length(); i++)
		job.tables.push_back(
			FlowTableArg(tables.As<Napi::Array>().Get(i), "orphans.tables[" + std::to_string(i) + "]"));
	return RunAsync<SweepResult>(
		info.Env(), "fairlead:orphans", [job = std::move(job)] { return SweepOrphans(job); }, SweepToJs);
}

struct MoveJob {
	SharedMap from;
	SharedMap to;
	uint32_t flags = 0;
	uint32_t mask = 0;
};

/// @returns what was moved as `deleted`, what stays as `entries`.
SweepResult Move(const MoveJob &job)
{
	const MapShape &shape = job.from.shape;
	SweepResult result;
	bool full = false;
	Bytes moved;
	WalkMap(job.from.fd->get(), shape, [&](const uint8_t *keys, const uint8_t *values, size_t count) {
		moved.clear();
		for (size_t i = 0; i < count; i++) {
			const uint8_t *key = keys + i * shape.key_size;
			const uint8_t *value = values + i * shape.value_bytes;
			result.entries++;
			if (full || (Load<uint16_t>(value + job.flags) & job.mask) == 0)
				continue;
			int rc = bpf_map_update_elem(job.to.fd->get(), key, value, BPF_NOEXIST);
			full = rc == -E2BIG;
			if (full)
				continue;
			if (rc != -EEXIST)
				Check(rc, "BPF_MAP_UPDATE_ELEM", job.to.shape.Title() + ": cannot add an entry");
			moved.insert(moved.end(), key, key + shape.key_size);
		}
		size_t gone = DeleteMapBatch(job.from.fd->get(), shape, moved);
		result.deleted += gone;
		result.entries -= gone;
	});
	return result;
}

/// Entries that have one of the flags go to another map of the same layout, as far as there is room.
Napi::Value MoveMap(const Napi::CallbackInfo &info)
{
	MapHandle &from = HandleArg<MapHandle>(info, 0, "from");
	MapHandle &to = HandleArg<MapHandle>(info, 1, "to");
	if (from.shape().key_size != to.shape().key_size || from.shape().value_bytes != to.shape().value_bytes)
		throw ArgError("to: expected a map of the same layout");
	Fields fields(info[2], "move");
	MoveJob job{.from = SharedMap::Of(from),
		    .to = SharedMap::Of(to),
		    .flags = fields.Offset("flags", 2, from.shape().value_bytes),
		    .mask = fields.U32("mask")};
	return RunAsync<SweepResult>(
		info.Env(), "fairlead:move", [job = std::move(job)] { return Move(job); }, SweepToJs);
}

} // namespace

void ExportCtGc(Napi::Object exports)
{
	Export<SweepMap>(exports, "mapSweep");
	Export<SweepOrphanedMap>(exports, "mapSweepOrphans");
	Export<MoveMap>(exports, "mapMove");
}

} // namespace fairlead
