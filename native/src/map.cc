#include "map.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>

#include <cerrno>
#include <tuple>
#include <utility>

#include "async.h"
#include "fdkind.h"
#include "program.h"

namespace fairlead
{

namespace
{

bool IsPerCpu(uint32_t type)
{
	return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
	       type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

size_t RoundUp8(size_t n)
{
	return (n + 7) & ~size_t{7};
}

Napi::Value WrapMap(Napi::Env env, UniqueFd fd)
{
	return Wrap(env, std::make_unique<MapHandle>(State::Of(env).registry(), std::move(fd)));
}

Napi::Value Create(const Napi::CallbackInfo &info)
{
	uint32_t type = U32Arg(info, 0, "type");
	std::string name = StringArg(info, 1, "name");
	if (name.size() >= BPF_OBJ_NAME_LEN)
		throw ArgError("name: expected at most 15 bytes, got " + std::to_string(name.size()));
	uint32_t key_size = U32Arg(info, 2, "keySize");
	uint32_t value_size = U32Arg(info, 3, "valueSize");
	uint32_t max_entries = U32Arg(info, 4, "maxEntries");
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	opts.map_flags = static_cast<uint32_t>(FlagsArg(info, 5, "flags"));
	UniqueFd fd = OwnFd(
		bpf_map_create(static_cast<bpf_map_type>(type), name.c_str(), key_size, value_size, max_entries, &opts),
		"BPF_MAP_CREATE", "map " + name + ": cannot create");
	return WrapMap(info.Env(), std::move(fd));
}

Napi::Value OpenPinned(const Napi::CallbackInfo &info)
{
	std::string path = StringArg(info, 0, "path");
	UniqueFd fd = OwnFd(bpf_obj_get(path.c_str()), "BPF_OBJ_GET", "cannot open pinned map " + path);
	RequireFdKind(fd.get(), "bpf-map", path);
	return WrapMap(info.Env(), std::move(fd));
}

Napi::Value OpenById(const Napi::CallbackInfo &info)
{
	uint32_t id = U32Arg(info, 0, "id");
	return WrapMap(info.Env(), OwnFd(bpf_map_get_fd_by_id(id), "BPF_MAP_GET_FD_BY_ID",
					 "cannot open map " + std::to_string(id)));
}

Napi::Value Info(const Napi::CallbackInfo &info)
{
	const MapShape &shape = HandleArg<MapHandle>(info, 0, "map").shape();
	Napi::Env env = info.Env();
	Napi::Object js = Napi::Object::New(env);
	js.Set("id", shape.id);
	js.Set("name", shape.name);
	js.Set("type", shape.type);
	js.Set("keySize", shape.key_size);
	js.Set("valueSize", shape.value_size);
	js.Set("maxEntries", shape.max_entries);
	js.Set("flags", shape.flags);
	js.Set("btfId", shape.btf_id);
	js.Set("btfKeyTypeId", shape.btf_key_type_id);
	js.Set("btfValueTypeId", shape.btf_value_type_id);
	return js;
}

Napi::Value Get(const Napi::CallbackInfo &info)
{
	MapHandle &map = HandleArg<MapHandle>(info, 0, "map");
	std::span<uint8_t> key = BytesArg(info, 1, "key", map.shape().key_size);
	Napi::Uint8Array value = Napi::Uint8Array::New(info.Env(), map.shape().value_bytes);
	int rc = bpf_map_lookup_elem(map.fd(), key.data(), value.Data());
	if (rc == -ENOENT)
		return info.Env().Undefined();
	Check(rc, "BPF_MAP_LOOKUP_ELEM", map.shape().Title() + ": cannot look up an entry");
	return value;
}

Napi::Value Set(const Napi::CallbackInfo &info)
{
	MapHandle &map = HandleArg<MapHandle>(info, 0, "map");
	std::span<uint8_t> key = BytesArg(info, 1, "key", map.shape().key_size);
	std::span<uint8_t> value = BytesArg(info, 2, "value", map.shape().value_bytes);
	Check(bpf_map_update_elem(map.fd(), key.data(), value.data(), FlagsArg(info, 3, "flags")),
	      "BPF_MAP_UPDATE_ELEM",
	      map.shape().Title() + ": cannot set an entry (max_entries " + std::to_string(map.shape().max_entries) +
		      ")");
	return info.Env().Undefined();
}

/// Puts a program into a BPF_MAP_TYPE_PROG_ARRAY, whose user-space values are fds that only the addon may see.
Napi::Value SetProgram(const Napi::CallbackInfo &info)
{
	MapHandle &map = HandleArg<MapHandle>(info, 0, "map");
	if (map.shape().type != BPF_MAP_TYPE_PROG_ARRAY)
		throw ArgError("map: " + map.shape().name + " is no program array");
	uint32_t index = U32Arg(info, 1, "index");
	int program = HandleArg<ProgramHandle>(info, 2, "program").fd();
	Check(bpf_map_update_elem(map.fd(), &index, &program, 0), "BPF_MAP_UPDATE_ELEM",
	      map.shape().Title() + ": cannot set program " + std::to_string(index));
	return info.Env().Undefined();
}

Napi::Value Delete(const Napi::CallbackInfo &info)
{
	MapHandle &map = HandleArg<MapHandle>(info, 0, "map");
	std::span<uint8_t> key = BytesArg(info, 1, "key", map.shape().key_size);
	int rc = bpf_map_delete_elem(map.fd(), key.data());
	if (rc == -ENOENT)
		return Napi::Boolean::New(info.Env(), false);
	Check(rc, "BPF_MAP_DELETE_ELEM", map.shape().Title() + ": cannot delete an entry");
	return Napi::Boolean::New(info.Env(), true);
}

Napi::Object FlatToJs(Napi::Env env, FlatEntries &&entries)
{
	Napi::Object js = Napi::Object::New(env);
	js.Set("count", Napi::Number::New(env, static_cast<double>(entries.count)));
	js.Set("keys", BytesToJs(env, std::move(entries.keys)));
	js.Set("values", BytesToJs(env, std::move(entries.values)));
	return js;
}

Napi::Value Dump(const Napi::CallbackInfo &info)
{
	MapHandle &map = HandleArg<MapHandle>(info, 0, "map");
	return FlatToJs(info.Env(), DumpMap(map.fd(), map.shape()));
}

Napi::Value DumpAsync(const Napi::CallbackInfo &info)
{
	MapHandle &map = HandleArg<MapHandle>(info, 0, "map");
	auto fd = std::make_shared<UniqueFd>(Duplicate(map.fd()));
	return RunAsync<FlatEntries>(
		info.Env(), "fairlead:dump", [fd, shape = map.shape()] { return DumpMap(fd->get(), shape); },
		[](Napi::Env env, FlatEntries &&entries) -> Napi::Value { return FlatToJs(env, std::move(entries)); });
}

/// Reads a flat array argument: a whole number of elements.
Bytes FlatArg(const Napi::CallbackInfo &info, size_t index, const char *name, size_t element)
{
	std::span<uint8_t> bytes = BytesArg(info, index, name);
	if (element == 0 || bytes.size() % element != 0) {
		throw ArgError(std::string(name) + ": expected a multiple of " + std::to_string(element) +
			       " bytes, got " + std::to_string(bytes.size()));
	}
	return Bytes(bytes.begin(), bytes.end());
}

Napi::Value CountToJs(Napi::Env env, size_t &&count)
{
	return Napi::Number::New(env, static_cast<double>(count));
}

Napi::Value UpdateBatch(const Napi::CallbackInfo &info)
{
	MapHandle &map = HandleArg<MapHandle>(info, 0, "map");
	const MapShape &shape = map.shape();
	Bytes keys = FlatArg(info, 1, "keys", shape.key_size);
	Bytes values = FlatArg(info, 2, "values", shape.value_bytes);
	size_t count = keys.size() / shape.key_size;
	if (values.size() / shape.value_bytes != count) {
		throw ArgError("values: expected " + std::to_string(count * shape.value_bytes) + " bytes for " +
			       std::to_string(count) + " keys, got " + std::to_string(values.size()));
	}
	uint64_t flags = FlagsArg(info, 3, "flags");
	auto fd = std::make_shared<UniqueFd>(Duplicate(map.fd()));
	return RunAsync<size_t>(
		info.Env(), "fairlead:updateBatch",
		[fd, shape, keys = std::move(keys), values = std::move(values), flags] {
			return UpdateMapBatch(fd->get(), shape, keys, values, flags);
		},
		CountToJs);
}

Napi::Value DeleteBatch(const Napi::CallbackInfo &info)
{
	MapHandle &map = HandleArg<MapHandle>(info, 0, "map");
	Bytes keys = FlatArg(info, 1, "keys", map.shape().key_size);
	auto fd = std::make_shared<UniqueFd>(Duplicate(map.fd()));
	return RunAsync<size_t>(
		info.Env(), "fairlead:deleteBatch",
		[fd, shape = map.shape(), keys = std::move(keys)] { return DeleteMapBatch(fd->get(), shape, keys); },
		CountToJs);
}

Napi::Value Mmap(const Napi::CallbackInfo &info)
{
	MapHandle &map = HandleArg<MapHandle>(info, 0, "map");
	const MapShape &shape = map.shape();
	if ((shape.flags & BPF_F_MMAPABLE) == 0)
		throw SysError(EPERM, "mmap", shape.Title() + ": cannot map, it was created without BPF_F_MMAPABLE");
	size_t size = RoundUp8(shape.value_size) * shape.max_entries;
	auto mapping = std::make_shared<Mapping>(map.fd(), size, shape.Title());
	auto keeper = std::make_unique<std::shared_ptr<Mapping>>(mapping);
	Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(
		info.Env(), mapping->address(), size,
		[](Napi::Env, void *, std::shared_ptr<Mapping> *data) {
			std::unique_ptr<std::shared_ptr<Mapping>> last(data);
		},
		keeper.get());
	std::ignore = keeper.release();
	map.set_mapping(std::move(mapping));
	return buffer;
}

/// Closes the map. A buffer from mmap is detached first, so that later use is a TypeError, then the memory is given
/// back.
Napi::Value CloseMap(const Napi::CallbackInfo &info)
{
	MapHandle &map = HandleArg<MapHandle>(info, 0, "map");
	if (info[1].IsArrayBuffer()) {
		Napi::ArrayBuffer buffer = info[1].As<Napi::ArrayBuffer>();
		if (!buffer.IsDetached())
			buffer.Detach();
		map.Unmap();
	}
	map.Close();
	return info.Env().Undefined();
}

Napi::Value Pin(const Napi::CallbackInfo &info)
{
	MapHandle &map = HandleArg<MapHandle>(info, 0, "map");
	std::string path = StringArg(info, 1, "path");
	Check(bpf_obj_pin(map.fd(), path.c_str()), "BPF_OBJ_PIN", map.shape().Title() + ": cannot pin at " + path);
	return info.Env().Undefined();
}

} // namespace

Mapping::Mapping(int fd, size_t size, const std::string &title) : size_(size)
{
	address_ = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (address_ == MAP_FAILED)
		throw SysError(errno, "mmap", title + ": cannot map " + std::to_string(size) + " bytes");
}

void Mapping::Unmap()
{
	if (address_ != nullptr)
		munmap(std::exchange(address_, nullptr), size_);
}

MapShape MapShape::Read(int fd)
{
	bpf_map_info raw{};
	uint32_t size = sizeof raw;
	Check(bpf_obj_get_info_by_fd(fd, &raw, &size), "BPF_OBJ_GET_INFO_BY_FD", "cannot read what a map is");
	MapShape shape;
	shape.id = raw.id;
	shape.type = raw.type;
	shape.key_size = raw.key_size;
	shape.value_size = raw.value_size;
	shape.max_entries = raw.max_entries;
	shape.flags = raw.map_flags;
	shape.btf_id = raw.btf_id;
	shape.btf_key_type_id = raw.btf_key_type_id;
	shape.btf_value_type_id = raw.btf_value_type_id;
	shape.name = raw.name;
	shape.value_bytes = raw.value_size;
	if (IsPerCpu(raw.type)) {
		int cpus = libbpf_num_possible_cpus();
		Check(cpus, "libbpf_num_possible_cpus", "cannot count possible CPUs");
		shape.value_bytes = RoundUp8(raw.value_size) * static_cast<size_t>(cpus);
	}
	return shape;
}

int MapHandle::fd() const
{
	if (!fd_)
		throw SysError(EBADF, "close", shape_.Title() + ": is closed");
	return fd_.get();
}

void ExportMap(Napi::Object exports)
{
	Export<Create>(exports, "mapCreate");
	Export<OpenPinned>(exports, "mapOpenPinned");
	Export<OpenById>(exports, "mapOpenById");
	Export<Info>(exports, "mapInfo");
	Export<Get>(exports, "mapGet");
	Export<Set>(exports, "mapSet");
	Export<SetProgram>(exports, "mapSetProgram");
	Export<Delete>(exports, "mapDelete");
	Export<Dump>(exports, "mapDump");
	Export<DumpAsync>(exports, "mapDumpAsync");
	Export<UpdateBatch>(exports, "mapUpdateBatch");
	Export<DeleteBatch>(exports, "mapDeleteBatch");
	Export<Mmap>(exports, "mapMmap");
	Export<Pin>(exports, "mapPin");
	Export<CloseMap>(exports, "mapClose");
}

} // namespace fairlead
