// BPF maps: MapCore is plain C++ that works on any thread; MapHandle is what JavaScript holds.
#pragma once

#include <linux/bpf.h>

#include <functional>
#include <memory>
#include <string>

#include "args.h"
#include "fd.h"
#include "state.h"

namespace fairlead
{

/// What the kernel says about a map, and the sizes user space has to use.
struct MapShape {
	uint32_t id = 0;
	uint32_t type = 0;
	uint32_t key_size = 0;
	uint32_t value_size = 0;
	uint32_t max_entries = 0;
	uint32_t flags = 0;
	uint32_t btf_id = 0;
	uint32_t btf_key_type_id = 0;
	uint32_t btf_value_type_id = 0;
	std::string name;

	/// Bytes of one value as user space sees it: for per-CPU maps all possible CPUs, each rounded up to 8.
	size_t value_bytes = 0;

	/// Throws unless the fd is a map.
	static MapShape Read(int fd);
	std::string Title() const { return "map " + name; }
};

/// A shared mapping of an array map. JavaScript's buffer over it holds one reference, the map's handle another.
class Mapping
{
public:
	Mapping(int fd, size_t size, const std::string &title);
	~Mapping() { Unmap(); }
	Mapping(const Mapping &) = delete;
	Mapping &operator=(const Mapping &) = delete;
	void *address() const { return address_; }
	/// Only when no buffer over it can be used any more.
	void Unmap();

private:
	void *address_;
	size_t size_;
};

class MapHandle final : public Handle
{
public:
	MapHandle(std::shared_ptr<Registry> registry, UniqueFd fd)
		: Handle(std::move(registry)), shape_(MapShape::Read(fd.get())), fd_(std::move(fd))
	{
	}
	~MapHandle() override { Close(); }

	void Close() noexcept override { fd_.Reset(); }
	const MapShape &shape() const { return shape_; }
	/// Throws EBADF after close.
	int fd() const;
	void set_mapping(std::shared_ptr<Mapping> mapping) { mapping_ = std::move(mapping); }
	/// The caller has detached the buffer. Close() alone leaves the memory to the buffer.
	void Unmap()
	{
		if (mapping_)
			mapping_->Unmap();
		mapping_.reset();
	}

private:
	MapShape shape_;
	UniqueFd fd_;
	std::shared_ptr<Mapping> mapping_;
};

struct FlatEntries {
	size_t count = 0;
	Bytes keys;
	Bytes values;
};

/// Sees some thousand entries at a time: `count` keys and values, one after the other. It may delete from the map.
using MapVisitor = std::function<void(const uint8_t *keys, const uint8_t *values, size_t count)>;
/// Shows all entries of a map; where the map type or kernel has no batch look-up, in one piece.
void WalkMap(int fd, const MapShape &shape, const MapVisitor &visit);
/// Reads all entries: by batches, or key by key where the map type or kernel has no batch look-up.
FlatEntries DumpMap(int fd, const MapShape &shape);
/// @returns entries written. A failure part-way throws SysError with done().
size_t UpdateMapBatch(int fd, const MapShape &shape, const Bytes &keys, const Bytes &values, uint64_t flags);
/// @returns entries that existed and were deleted; missing keys are passed over.
size_t DeleteMapBatch(int fd, const MapShape &shape, const Bytes &keys);

void ExportMap(Napi::Object exports);

} // namespace fairlead
