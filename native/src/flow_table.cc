#include "flow_table.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace fairlead
{

TupleLayout TupleLayout::Read(const Fields &fields, size_t address_size, size_t key_size)
{
	return {fields.Offset("lo", address_size, key_size), fields.Offset("hi", address_size, key_size),
		fields.Offset("loPort", sizeof(uint16_t), key_size),
		fields.Offset("hiPort", sizeof(uint16_t), key_size), fields.Offset("proto", 1, key_size)};
}

FlowTable::FlowTable(const Fields &fields) : maps_(fields.Maps("maps")), prefix_(fields.Raw("prefix", 1))
{
	if (prefix_.size() >= kAddress)
		throw ArgError(fields.Title("prefix") + ": expected fewer bytes than an address has");
	layout_ = TupleLayout::Read(fields, address_size(), shape().key_size);
}

bool FlowTable::Owns(const Address &address) const
{
	return std::equal(prefix_.begin(), prefix_.end(), address.begin());
}

Address FlowTable::Widen(const uint8_t *part) const
{
	Address address;
	auto rest = std::copy(prefix_.begin(), prefix_.end(), address.begin());
	std::copy_n(part, address_size(), rest);
	return address;
}

Bytes FlowTable::Key(const End &lo, const End &hi, uint8_t proto) const
{
	Bytes bytes(shape().key_size);
	memcpy(&bytes[layout_.lo], &lo.address[prefix_.size()], address_size());
	memcpy(&bytes[layout_.hi], &hi.address[prefix_.size()], address_size());
	memcpy(&bytes[layout_.lo_port], &lo.port, sizeof lo.port);
	memcpy(&bytes[layout_.hi_port], &hi.port, sizeof hi.port);
	bytes[layout_.proto] = proto;
	return bytes;
}

std::optional<FlowEntry> FlowTable::Find(const End &a, const End &b, uint8_t proto) const
{
	FlowEntry entry{0, {}, Bytes(shape().value_bytes)};
	for (size_t map = 0; map < maps_.size(); map++) {
		for (Bytes &key : std::array{Key(a, b, proto), Key(b, a, proto)}) {
			int rc = bpf_map_lookup_elem(maps_[map].fd->get(), key.data(), entry.value.data());
			if (rc == 0) {
				entry.map = map;
				entry.key = std::move(key);
				return entry;
			}
			if (rc != -ENOENT)
				Check(rc, "BPF_MAP_LOOKUP_ELEM", shape().Title() + ": cannot look up a flow");
		}
	}
	return std::nullopt;
}

} // namespace fairlead
