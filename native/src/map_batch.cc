// Whole-map reads and flat batches. Runs on worker threads: no JavaScript values here.
#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>

#include "map.h"

namespace fairlead
{

namespace
{

constexpr uint32_t kFirstBatch = 4096;

bool IsUnsupported(int rc)
{
	return rc == -EINVAL || rc == -ENOTSUP || rc == -524;
}

void Append(FlatEntries &all, const MapShape &shape, const uint8_t *keys, const uint8_t *values, size_t count)
{
	all.keys.insert(all.keys.end(), keys, keys + count * shape.key_size);
	all.values.insert(all.values.end(), values, values + count * shape.value_bytes);
	all.count += count;
}

/// @returns false when the kernel has no batch look-up for this map type. A hash map is read bucket by bucket, so deleting
/// what has been shown hides nothing.
bool WalkByBatches(int fd, const MapShape &shape, const MapVisitor &visit)
{
	uint32_t batch = std::min(kFirstBatch, std::max(shape.max_entries, 1U));
	Bytes position(std::max<size_t>(shape.key_size, sizeof(uint32_t)));
	Bytes next(position.size());
	Bytes keys, values;
	bool first = true;
	for (;;) {
		keys.resize(size_t{batch} * shape.key_size);
		values.resize(size_t{batch} * shape.value_bytes);
		uint32_t count = batch;
		int rc = bpf_map_lookup_batch(fd, first ? nullptr : position.data(), next.data(), keys.data(),
					      values.data(), &count, nullptr);
		if (rc == -ENOSPC) { // a hash bucket holds more than the whole batch: ask again for a bigger one
			batch *= 2;
			continue;
		}
		if (first && IsUnsupported(rc))
			return false;
		if (rc < 0 && rc != -ENOENT)
			Check(rc, "BPF_MAP_LOOKUP_BATCH", shape.Title() + ": cannot read all entries");
		visit(keys.data(), values.data(), count);
		if (rc == -ENOENT)
			return true;
		position = next;
		first = false;
	}
}

/// A key deleted while we stand on it sends the kernel back to the start; the bound keeps that finite.
void DumpByKeys(int fd, const MapShape &shape, FlatEntries &all)
{
	Bytes key(shape.key_size), next(shape.key_size), value(shape.value_bytes);
	bool first = true;
	for (uint64_t step = 0; step < uint64_t{shape.max_entries} * 2 + 16; step++) {
		int rc = bpf_map_get_next_key(fd, first ? nullptr : key.data(), next.data());
		if (rc == -ENOENT)
			return;
		Check(rc, "BPF_MAP_GET_NEXT_KEY", shape.Title() + ": cannot read the next key");
		first = false;
		key = next;
		rc = bpf_map_lookup_elem(fd, key.data(), value.data());
		if (rc == -ENOENT)
			continue;
		Check(rc, "BPF_MAP_LOOKUP_ELEM", shape.Title() + ": cannot look up an entry");
		Append(all, shape, key.data(), value.data(), 1);
	}
}

} // namespace

FlatEntries DumpMap(int fd, const MapShape &shape)
{
	FlatEntries all;
	if (shape.key_size == 0)
		throw SysError(EINVAL, "BPF_MAP_LOOKUP_BATCH", shape.Title() + ": has no keys to read");
	auto append = [&](const uint8_t *keys, const uint8_t *values, size_t count) {
		Append(all, shape, keys, values, count);
	};
	if (!WalkByBatches(fd, shape, append))
		DumpByKeys(fd, shape, all);
	return all;
}

void WalkMap(int fd, const MapShape &shape, const MapVisitor &visit)
{
	if (shape.key_size != 0 && WalkByBatches(fd, shape, visit))
		return;
	FlatEntries all = DumpMap(fd, shape);
	visit(all.keys.data(), all.values.data(), all.count);
}

size_t UpdateMapBatch(int fd, const MapShape &shape, const Bytes &keys, const Bytes &values, uint64_t flags)
{
	const auto total = static_cast<uint32_t>(keys.size() / shape.key_size);
	if (total == 0)
		return 0;
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	opts.elem_flags = flags;
	uint32_t done = total;
	int rc = bpf_map_update_batch(fd, keys.data(), values.data(), &done, &opts);
	if (rc == 0)
		return done;
	const char *syscall = "BPF_MAP_UPDATE_BATCH";
	if (IsUnsupported(rc)) {
		syscall = "BPF_MAP_UPDATE_ELEM";
		for (done = 0; done < total; done++) {
			rc = bpf_map_update_elem(fd, &keys[size_t{done} * shape.key_size],
						 &values[size_t{done} * shape.value_bytes], flags);
			if (rc < 0)
				break;
		}
		if (done == total)
			return done;
	}
	throw SysError(-rc, syscall,
		       shape.Title() + ": set " + std::to_string(done) + " of " + std::to_string(total) +
			       " entries (max_entries " + std::to_string(shape.max_entries) + "), then stopped")
		.WithDone(done);
}

size_t DeleteMapBatch(int fd, const MapShape &shape, const Bytes &keys)
{
	const size_t total = keys.size() / shape.key_size;
	size_t deleted = 0;
	bool batches = true;
	for (size_t at = 0; at < total;) {
		const uint8_t *from = &keys[at * shape.key_size];
		auto count = static_cast<uint32_t>(total - at);
		int rc = 0;
		if (batches) {
			rc = bpf_map_delete_batch(fd, from, &count, nullptr);
			if (IsUnsupported(rc)) {
				batches = false;
				continue;
			}
		} else {
			rc = bpf_map_delete_elem(fd, from);
			count = rc == 0 ? 1 : 0;
		}
		deleted += count;
		at += count;
		if (rc == -ENOENT) {
			at++; // the key at which the kernel stopped was not there
		} else if (rc < 0) {
			throw SysError(-rc, "BPF_MAP_DELETE_BATCH",
				       shape.Title() + ": deleted " + std::to_string(deleted) + " of " +
					       std::to_string(total) + " entries, then stopped")
				.WithDone(deleted);
		}
	}
	return deleted;
}

} // namespace fairlead
