#include "object.h"

#include <bpf/btf.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "async.h"
#include "libbpf_log.h"
#include "map.h"
#include "program.h"

namespace fairlead
{

namespace
{

using Stage = ObjectCore::Stage;
constexpr size_t kTailLines = 8;

Napi::Value Open(const Napi::CallbackInfo &info)
{
	std::string path = StringArg(info, 0, "path");
	LibbpfLog log;
	auto core = std::make_shared<ObjectCore>();
	core->path = path;
	core->object.reset(bpf_object__open_file(path.c_str(), nullptr));
	int err = errno;
	if (!core->object)
		throw SysError(err, "bpf_object__open", "cannot open BPF object " + path)
			.WithLog(log.Take(), kTailLines);
	bpf_map *map;
	bpf_object__for_each_map(map, core->object.get()) core->maps.emplace(bpf_map__name(map), map);
	return Wrap(info.Env(), std::make_unique<ObjectHandle>(State::Of(info.Env()).registry(), std::move(core)));
}

bpf_map *FindMap(const ObjectCore &core, const std::string &name)
{
	if (auto found = core.maps.find(name); found != core.maps.end())
		return found->second;
	// The compiler's own maps also go by their section: ".rodata", ".bss"
	bpf_map *map = name.starts_with(".") ? bpf_object__find_map_by_name(core.object.get(), name.c_str()) : nullptr;
	if (map == nullptr)
		throw SysError(ENOENT, "bpf_object__find_map_by_name", core.path + ": no map " + name);
	return map;
}

bpf_program *FindProgram(const ObjectCore &core, const std::string &name)
{
	bpf_program *program = bpf_object__find_program_by_name(core.object.get(), name.c_str());
	if (program == nullptr)
		throw SysError(ENOENT, "bpf_object__find_program_by_name", core.path + ": no program " + name);
	return program;
}

Napi::Value MapNames(const Napi::CallbackInfo &info)
{
	const auto &core = HandleArg<ObjectHandle>(info, 0, "object").Any();
	Napi::Array names = Napi::Array::New(info.Env());
	for (const auto &[name, map] : core->maps) {
		if (!bpf_map__is_internal(map))
			names.Set(names.Length(), Napi::String::New(info.Env(), name));
	}
	return names;
}

Napi::Value ProgramNames(const Napi::CallbackInfo &info)
{
	const auto &core = HandleArg<ObjectHandle>(info, 0, "object").Any();
	Napi::Array names = Napi::Array::New(info.Env());
	bpf_program *program;
	bpf_object__for_each_program(program, core->object.get())
	{
		names.Set(names.Length(), Napi::String::New(info.Env(), bpf_program__name(program)));
	}
	return names;
}

struct Variable {
	std::string section;
	std::string name;
	uint32_t offset;
	uint32_t size;
};

/// The variables of all .rodata sections, from the object's BTF.
std::vector<Variable> RodataVariables(const ObjectCore &core)
{
	std::vector<Variable> variables;
	const btf *types = bpf_object__btf(core.object.get());
	if (types == nullptr)
		throw SysError(ENOENT, "bpf_object__btf", core.path + ": has no BTF, compile it with -g");
	for (uint32_t id = 1; id < btf__type_cnt(types); id++) {
		const btf_type *section = btf__type_by_id(types, id);
		if (!btf_is_datasec(section))
			continue;
		std::string section_name = btf__name_by_offset(types, section->name_off);
		if (!section_name.starts_with(".rodata"))
			continue;
		const btf_var_secinfo *entry = btf_var_secinfos(section);
		for (int i = 0; i < btf_vlen(section); i++, entry++) {
			const btf_type *variable = btf__type_by_id(types, entry->type);
			variables.push_back({section_name, btf__name_by_offset(types, variable->name_off),
					     entry->offset, entry->size});
		}
	}
	return variables;
}

Napi::Value Rodata(const Napi::CallbackInfo &info)
{
	const auto &core = HandleArg<ObjectHandle>(info, 0, "object").Any();
	Napi::Object sizes = Napi::Object::New(info.Env());
	for (const Variable &variable : RodataVariables(*core))
		sizes.Set(variable.name, variable.size);
	return sizes;
}

Napi::Value SetRodata(const Napi::CallbackInfo &info)
{
	const auto &core = HandleArg<ObjectHandle>(info, 0, "object").At(Stage::kOpen);
	std::string name = StringArg(info, 1, "name");
	for (const Variable &variable : RodataVariables(*core)) {
		if (variable.name != name)
			continue;
		std::span<uint8_t> value = BytesArg(info, 2, ("rodata " + name).c_str(), variable.size);
		bpf_map *section = FindMap(*core, variable.section);
		size_t size = 0;
		const auto *initial = static_cast<const uint8_t *>(bpf_map__initial_value(section, &size));
		if (initial == nullptr || size_t{variable.offset} + variable.size > size) {
			throw SysError(ERANGE, "bpf_map__initial_value", core->path + ": cannot set constant " + name);
		}
		Bytes changed(initial, initial + size);
		std::copy(value.begin(), value.end(), changed.begin() + variable.offset);
		Check(bpf_map__set_initial_value(section, changed.data(), changed.size()), "bpf_map__set_initial_value",
		      core->path + ": cannot set constant " + name);
		return info.Env().Undefined();
	}
	throw SysError(ENOENT, "setRodata",
		       core->path + ": cannot set constant " + name + ", no such variable in .rodata");
}

std::string Difference(const char *what, uint32_t in_object, uint32_t in_map)
{
	if (in_object == in_map)
		return "";
	return std::string(", ") + what + " " + std::to_string(in_map) + " instead of " + std::to_string(in_object);
}

Napi::Value ReuseMap(const Napi::CallbackInfo &info)
{
	const auto &core = HandleArg<ObjectHandle>(info, 0, "object").At(Stage::kOpen);
	std::string name = StringArg(info, 1, "name");
	MapHandle &handle = HandleArg<MapHandle>(info, 2, "map");
	bpf_map *map = FindMap(*core, name);
	const MapShape &shape = handle.shape();
	std::string differences = Difference("type", bpf_map__type(map), shape.type) +
				  Difference("key size", bpf_map__key_size(map), shape.key_size) +
				  Difference("value size", bpf_map__value_size(map), shape.value_size) +
				  Difference("max_entries", bpf_map__max_entries(map), shape.max_entries) +
				  Difference("flags", bpf_map__map_flags(map), shape.flags);
	if (!differences.empty()) {
		throw SysError("MAP_LAYOUT", "bpf_map__reuse_fd",
			       "map " + name + ": cannot reuse " + shape.Title() + " (id " + std::to_string(shape.id) +
				       "), it has" + differences.substr(1));
	}
	Check(bpf_map__reuse_fd(map, handle.fd()), "bpf_map__reuse_fd",
	      "map " + name + ": cannot reuse " + shape.Title());
	return info.Env().Undefined();
}

Napi::Value ReplaceMap(const Napi::CallbackInfo &info)
{
	const auto &core = HandleArg<ObjectHandle>(info, 0, "object").At(Stage::kOpen);
	std::string name = StringArg(info, 1, "name");
	MapHandle &handle = HandleArg<MapHandle>(info, 2, "map");
	Check(bpf_map__reuse_fd(FindMap(*core, name), handle.fd()), "bpf_map__reuse_fd",
	      "map " + name + ": cannot be replaced by " + handle.shape().Title());
	return info.Env().Undefined();
}

Napi::Value SetMaxEntries(const Napi::CallbackInfo &info)
{
	const auto &core = HandleArg<ObjectHandle>(info, 0, "object").At(Stage::kOpen);
	std::string name = StringArg(info, 1, "name");
	Check(bpf_map__set_max_entries(FindMap(*core, name), U32Arg(info, 2, "maxEntries")), "bpf_map__set_max_entries",
	      "map " + name + ": cannot set max_entries");
	return info.Env().Undefined();
}

Napi::Value SetAutoload(const Napi::CallbackInfo &info)
{
	const auto &core = HandleArg<ObjectHandle>(info, 0, "object").At(Stage::kOpen);
	std::string name = StringArg(info, 1, "program");
	Check(bpf_program__set_autoload(FindProgram(*core, name), BoolArg(info, 2, "on")), "bpf_program__set_autoload",
	      "program " + name + ": cannot change autoload");
	return info.Env().Undefined();
}

struct LoadOutcome {
	int rc;
	std::string log;
};

Napi::Value Load(const Napi::CallbackInfo &info)
{
	ObjectHandle &handle = HandleArg<ObjectHandle>(info, 0, "object");
	std::shared_ptr<ObjectCore> core = handle.At(Stage::kOpen);
	core->stage = Stage::kLoading;
	return RunAsync<LoadOutcome>(
		info.Env(), "fairlead:load",
		[core] {
			LibbpfLog log;
			int rc = bpf_object__load(core->object.get());
			return LoadOutcome{rc, log.Take()};
		},
		[core](Napi::Env env, LoadOutcome &&outcome) -> Napi::Value {
			core->stage = outcome.rc == 0 ? Stage::kLoaded : Stage::kFailed;
			if (outcome.rc < 0) {
				throw SysError(-outcome.rc, "BPF_PROG_LOAD", "cannot load BPF object " + core->path)
					.WithLog(std::move(outcome.log), kTailLines);
			}
			return env.Undefined();
		});
}

Napi::Value GetMap(const Napi::CallbackInfo &info)
{
	const auto &core = HandleArg<ObjectHandle>(info, 0, "object").At(Stage::kLoaded);
	UniqueFd fd = Duplicate(bpf_map__fd(FindMap(*core, StringArg(info, 1, "name"))));
	return Wrap(info.Env(), std::make_unique<MapHandle>(State::Of(info.Env()).registry(), std::move(fd)));
}

Napi::Value GetProgram(const Napi::CallbackInfo &info)
{
	const auto &core = HandleArg<ObjectHandle>(info, 0, "object").At(Stage::kLoaded);
	std::string name = StringArg(info, 1, "name");
	int fd = bpf_program__fd(FindProgram(*core, name));
	if (fd < 0)
		throw SysError(ENOENT, "bpf_program__fd",
			       core->path + ": program " + name + " was not loaded (autoload is off)");
	return Wrap(info.Env(), std::make_unique<ProgramHandle>(State::Of(info.Env()).registry(), Duplicate(fd), name));
}

Napi::Value CloseObject(const Napi::CallbackInfo &info)
{
	HandleArg<ObjectHandle>(info, 0, "object").Close();
	return info.Env().Undefined();
}

const char *StageName(Stage stage)
{
	switch (stage) {
	case Stage::kOpen:
		return "not loaded yet";
	case Stage::kLoading:
		return "being loaded";
	case Stage::kLoaded:
		return "loaded already";
	case Stage::kFailed:
		return "not loaded, because that failed";
	}
	return "in an unknown stage";
}

} // namespace

const std::shared_ptr<ObjectCore> &ObjectHandle::Any() const
{
	if (!core_)
		throw SysError(EBADF, "close", "BPF object: is closed");
	if (core_->stage == Stage::kLoading)
		throw SysError(EBUSY, "bpf_object__load", core_->path + ": is being loaded");
	return core_;
}

const std::shared_ptr<ObjectCore> &ObjectHandle::At(Stage wanted) const
{
	const auto &core = Any();
	if (core->stage != wanted) {
		throw SysError("WRONG_STAGE", "bpf_object__load", core->path + ": is " + StageName(core->stage));
	}
	return core;
}

void ExportObject(Napi::Object exports)
{
	Export<Open>(exports, "objectOpen");
	Export<MapNames>(exports, "objectMapNames");
	Export<ProgramNames>(exports, "objectProgramNames");
	Export<Rodata>(exports, "objectRodata");
	Export<SetRodata>(exports, "objectSetRodata");
	Export<ReuseMap>(exports, "objectReuseMap");
	Export<ReplaceMap>(exports, "objectReplaceMap");
	Export<SetMaxEntries>(exports, "objectSetMaxEntries");
	Export<SetAutoload>(exports, "objectSetAutoload");
	Export<Load>(exports, "objectLoad");
	Export<GetMap>(exports, "objectMap");
	Export<GetProgram>(exports, "objectProgram");
	Export<CloseObject>(exports, "objectClose");
}

} // namespace fairlead
