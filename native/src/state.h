// What belongs to one JavaScript environment (the main thread or one worker thread), and the base of all native
// handles.
#pragma once

#include <napi.h>

#include <memory>
#include <tuple>
#include <unordered_set>

namespace fairlead
{

class Registry;

/// A native resource that JavaScript holds through an External. The registry closes what is left when the environment
/// ends.
class Handle
{
public:
	explicit Handle(std::shared_ptr<Registry> registry);
	virtual ~Handle();
	Handle(const Handle &) = delete;
	Handle &operator=(const Handle &) = delete;

	/// Gives everything back to the kernel. Safe to call again; never touches JavaScript values.
	virtual void Close() noexcept = 0;

private:
	std::shared_ptr<Registry> registry_;
};

/// The open handles of one environment; touched only on that environment's thread.
class Registry
{
public:
	void Add(Handle *handle) { handles_.insert(handle); }
	void Remove(Handle *handle) { handles_.erase(handle); }
	void CloseAll() noexcept
	{
		for (Handle *handle : handles_)
			handle->Close();
	}
	size_t size() const { return handles_.size(); }

private:
	std::unordered_set<Handle *> handles_;
};

class State
{
public:
	static State &Of(Napi::Env env) { return *env.GetInstanceData<State>(); }

	const std::shared_ptr<Registry> &registry() const { return registry_; }
	Napi::FunctionReference &error_class() { return error_class_; }

private:
	std::shared_ptr<Registry> registry_ = std::make_shared<Registry>();
	Napi::FunctionReference error_class_;
};

/// Moves a handle into a JavaScript External, whose finalizer destroys it.
template <typename T> Napi::Value Wrap(Napi::Env env, std::unique_ptr<T> handle)
{
	Napi::External<Handle> external = Napi::External<Handle>::New(
		env, handle.get(), [](Napi::Env, Handle *data) { std::unique_ptr<Handle> owner(data); });
	std::ignore = handle.release();
	return external;
}

inline Handle::Handle(std::shared_ptr<Registry> registry) : registry_(std::move(registry))
{
	registry_->Add(this);
}
inline Handle::~Handle()
{
	registry_->Remove(this);
}

} // namespace fairlead
