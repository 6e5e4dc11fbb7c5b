// Work of milliseconds runs on libuv's threads, on plain data that the task owns; the answer is a promise.
#pragma once

#include <napi.h>

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "error.h"

namespace fairlead
{

namespace internal
{

template <typename R> struct Task {
	Task(Napi::Env env, std::function<R()> work_in, std::function<Napi::Value(Napi::Env, R &&)> finish_in)
		: deferred(Napi::Promise::Deferred::New(env)), work(std::move(work_in)), finish(std::move(finish_in))
	{
	}

	static void Execute(napi_env, void *data)
	{
		auto *task = static_cast<Task *>(data);
		try {
			task->result.emplace(task->work());
		} catch (...) {
			task->failure = std::current_exception();
		}
	}

	static void Complete(napi_env raw_env, napi_status status, void *data)
	{
		std::unique_ptr<Task> task(static_cast<Task *>(data));
		napi_delete_async_work(raw_env, task->handle);
		if (status == napi_cancelled)
			return;
		try {
			Napi::Env env(raw_env);
			Napi::HandleScope scope(env);
			task->Settle(env);
		} catch (const Napi::Error &) {
			// The environment is ending and runs no more JavaScript; there is nobody to tell.
		}
	}

	void Settle(Napi::Env env)
	{
		try {
			if (failure)
				std::rethrow_exception(failure);
			deferred.Resolve(finish(env, std::move(*result)));
		} catch (...) {
			deferred.Reject(CurrentExceptionToJs(env));
		}
	}

	Napi::Promise::Deferred deferred;
	std::function<R()> work;
	std::function<Napi::Value(Napi::Env, R &&)> finish;
	std::optional<R> result;
	std::exception_ptr failure;
	napi_async_work handle = nullptr;
};

} // namespace internal

/// Runs `work` on a worker thread (it must touch no JavaScript value), then `finish` on the JavaScript thread.
template <typename R>
Napi::Value RunAsync(Napi::Env env, const char *name, std::function<R()> work,
		     std::function<Napi::Value(Napi::Env, R &&)> finish)
{
	using Task = internal::Task<R>;
	auto task = std::make_unique<Task>(env, std::move(work), std::move(finish));
	napi_status status = napi_create_async_work(env, nullptr, Napi::String::New(env, name), Task::Execute,
						    Task::Complete, task.get(), &task->handle);
	if (status == napi_ok)
		status = napi_queue_async_work(env, task->handle);
	if (status != napi_ok)
		throw Napi::Error::New(env, std::string(name) + ": cannot queue work");
	Napi::Value promise = task->deferred.Promise();
	std::ignore = task.release();
	return promise;
}

} // namespace fairlead
