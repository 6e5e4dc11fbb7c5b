// Maps whose keys are {address, address, port, port, protocol}: flows of one family, found by their two ends.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "fields.h"

namespace fairlead
{

constexpr size_t kAddress = 16;
using Address = std::array<uint8_t, kAddress>;

/// One end of a flow; the port as it is in memory.
struct End {
	Address address;
	uint16_t port;
};

/// Where the parts of a key are.
struct TupleLayout {
	uint32_t lo, hi, lo_port, hi_port, proto;

	static TupleLayout Read(const Fields &fields, size_t address_size, size_t key_size);
};

struct FlowEntry {
	size_t map; // index into FlowTable::maps
	Bytes key;
	Bytes value;
};

class FlowTable
{
public:
	/// Fields maps, prefix (bytes that keys leave out of 16-byte addresses) and those of TupleLayout.
	explicit FlowTable(const Fields &fields);

	const std::vector<SharedMap> &maps() const { return maps_; }
	const MapShape &shape() const { return maps_.front().shape; }
	size_t address_size() const { return kAddress - prefix_.size(); }
	bool Owns(const Address &address) const;
	/// The whole of an address of which a key or value holds what follows the prefix.
	Address Widen(const uint8_t *part) const;
	End Lo(const uint8_t *key) const { return {Widen(key + layout_.lo), Load<uint16_t>(key + layout_.lo_port)}; }
	End Hi(const uint8_t *key) const { return {Widen(key + layout_.hi), Load<uint16_t>(key + layout_.hi_port)}; }
	uint8_t Proto(const uint8_t *key) const { return key[layout_.proto]; }
	/// Which end comes first in a key is the programs' affair: both orders are tried, in all maps.
	std::optional<FlowEntry> Find(const End &a, const End &b, uint8_t proto) const;

private:
	Bytes Key(const End &lo, const End &hi, uint8_t proto) const;

	std::vector<SharedMap> maps_;
	Bytes prefix_;
	TupleLayout layout_{};
};

} // namespace fairlead
