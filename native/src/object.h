// A compiled BPF object file: opened, adjusted, loaded once.
#pragma once

#include <bpf/libbpf.h>

#include <map>
#include <memory>
#include <string>

#include "args.h"
#include "state.h"

namespace fairlead
{

struct ObjectCloser {
	void operator()(bpf_object *object) const { bpf_object__close(object); }
};
using ObjectPtr = std::unique_ptr<bpf_object, ObjectCloser>;

/// Shared with the worker thread that loads it, so that closing meanwhile only drops our reference.
struct ObjectCore {
	enum class Stage { kOpen, kLoading, kLoaded, kFailed };
	ObjectPtr object;
	/// By the names of the file: libbpf renames a map when an existing one takes its place.
	std::map<std::string, bpf_map *> maps;
	std::string path;
	Stage stage = Stage::kOpen; // JavaScript thread only
};

class ObjectHandle final : public Handle
{
public:
	ObjectHandle(std::shared_ptr<Registry> registry, std::shared_ptr<ObjectCore> core)
		: Handle(std::move(registry)), core_(std::move(core))
	{
	}
	~ObjectHandle() override { Close(); }

	void Close() noexcept override { core_.reset(); }
	/// Throws unless open and at the wanted stage.
	const std::shared_ptr<ObjectCore> &At(ObjectCore::Stage wanted) const;
	const std::shared_ptr<ObjectCore> &Any() const;

private:
	std::shared_ptr<ObjectCore> core_;
};

void ExportObject(Napi::Object exports);

} // namespace fairlead
